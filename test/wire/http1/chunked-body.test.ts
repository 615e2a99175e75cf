import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ChunkedBody } from "../../../src/wire/http1/chunked-body.ts";
import { parseRequestHead } from "../../../src/wire/http1/head.ts";
import { seed, share } from "../../support/fuzz.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text, "latin1");

interface Read {
  readonly body: ChunkedBody;
  readonly kind: "more" | "end" | "no";
  readonly data: string;
  readonly rest: string;
}

/** Reads parts one after the other; what stands behind the end is `rest`. */
function read(parts: readonly string[], body = new ChunkedBody()): Read {
  let data = "";
  for (const [i, part] of parts.entries()) {
    const fed = body.feed(bytes(part));
    if (fed.kind === "no") return { body, kind: "no", data, rest: "" };
    for (const each of fed.data) data += Buffer.from(each).toString("latin1");
    if (fed.kind === "end")
      return { body, kind: "end", data, rest: part.slice(fed.used) + parts.slice(i + 1).join("") };
    assert.equal(fed.used, part.length);
  }
  return { body, kind: "more", data, rest: "" };
}

const whole =
  '5;name="v;\tw"\r\nabcde\r\n00a\r\n0123456789\r\n0;last\r\nX-One: 1 \r\nEmpty:\r\nX-Two:\ttwo words\r\n\r\n';
const trailers = [
  ["x-one", "1"],
  ["empty", ""],
  ["x-two", "two words"],
];

describe("a body in chunks", () => {
  it("is read to its end, and what stands behind it is left", () => {
    const { body, kind, data, rest } = read([`${whole}GET /`]);
    assert.deepEqual([kind, data, rest], ["end", "abcde0123456789", "GET /"]);
    assert.deepEqual(body.trailers, trailers);
  });

  it("is read the same however it is cut, with others read in between", () => {
    for (let cut = 0; cut <= whole.length; cut++) {
      const body = new ChunkedBody();
      const before = read([whole.slice(0, cut)], body);
      assert.equal(before.kind, cut === whole.length ? "end" : "more");
      assert.equal(read([whole]).data, "abcde0123456789");
      assert.equal(parseRequestHead(bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 1000).kind, "ok");
      if (cut === whole.length) continue;
      const after = read([`${whole.slice(cut)}!`], body);
      assert.deepEqual([after.kind, before.data + after.data, after.rest], ["end", "abcde0123456789", "!"]);
      assert.deepEqual(body.trailers, trailers);
    }
    const bytewise = read([...whole, "!"]);
    assert.deepEqual([bytewise.kind, bytewise.data, bytewise.rest], ["end", "abcde0123456789", "!"]);
    assert.deepEqual(bytewise.body.trailers, trailers);
  });

  it("is read without copies, also where it is more than the parser takes at once", () => {
    const large = Buffer.alloc(300_000, "abcdefg");
    const input = Buffer.concat([
      bytes(`${large.length.toString(16)}\r\n`),
      large,
      bytes("\r\n0\r\n\r\nrest"),
    ]);
    const fed = new ChunkedBody().feed(input);
    assert.ok(fed.kind === "end");
    assert.equal(input.subarray(fed.used).toString(), "rest");
    assert.ok(Buffer.concat(fed.data).equals(large));
    for (const each of fed.data) assert.equal(each.buffer, input.buffer);
  });

  const bad: readonly string[] = [
    "\r\n",
    "g\r\n",
    "0x3\r\nabc",
    "+3\r\nabc",
    "-3\r\nabc",
    " 3\r\nabc",
    "3 \r\nabc",
    "fffffffffffffffff\r\n",
    "10000000000000003\r\nabc",
    "3\nabc\n0\n\n",
    "3\rabc",
    "3\r\nabcdef",
    "3\r\nabc0\r\n\r\n",
    "3\r\nabc\n0\r\n\r\n",
    "3;x\nabc\r\n0\r\n\r\n",
    "3;x\ry\r\nabc",
    "3;\0\r\nabc",
    "0\r\nX : y\r\n\r\n",
    "0\r\nX: y\0\r\n\r\n",
    "0\r\n\nX",
  ];
  for (const text of bad)
    it(`is refused: ${JSON.stringify(text)}, however it is cut`, () => {
      assert.equal(read([text]).kind, "no");
      assert.equal(read([...text]).kind, "no");
    });

  it("has no more beside its data than is bounded", () => {
    const long = "x".repeat(20_000);
    assert.equal(read([`3;${long}\r\nabc\r\n0\r\n\r\n`]).kind, "no");
    assert.equal(read([..."3;", ...(long.match(/.{1,100}/g) ?? [])]).kind, "no");
    assert.equal(read([`0\r\nX: ${long}\r\n\r\n`]).kind, "no");
    assert.equal(read(["0\r\n", ...Array(5000).fill("X: y\r\n")]).kind, "no");
    const little = `1;${"x".repeat(100)}\r\na\r\n`;
    assert.equal(read([`${little.repeat(1000)}0\r\n\r\n`]).data, "a".repeat(1000));
  });

  it("whatever comes, is read without an error thrown, and to the same end however it is cut", () => {
    const soup = fc.array(
      fc.oneof(
        fc.constantFrom("3\r\nabc\r\n", "0\r\n", "\r\n", "\n", "X: y\r\n", ";a=b", "f", "1\r\n"),
        fc.uint8Array({ maxLength: 6 }).map((some) => Buffer.from(some).toString("latin1")),
      ),
      { maxLength: 10 },
    );
    fc.assert(
      fc.property(soup, (parts) => {
        const text = parts.join("");
        const [one, many, single] = [read([text]), read(parts), read([...text])];
        assert.deepEqual([many.kind, many.rest], [one.kind, one.rest]);
        assert.deepEqual([single.kind, single.rest], [one.kind, one.rest]);
        if (one.kind === "no") return;
        assert.deepEqual([many.data, single.data], [one.data, one.data]);
        assert.deepEqual([many.body.trailers, single.body.trailers], [one.body.trailers, one.body.trailers]);
      }),
      { seed, numRuns: share(20_000) },
    );
  });
});
