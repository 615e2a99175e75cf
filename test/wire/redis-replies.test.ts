import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type Reply, ReplyFramer } from "../../src/wire/redis-replies.ts";
import { share } from "../support/fuzz.ts";

const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;
const scalar = fc.oneof(
  fc.constantFrom(
    "+OK\r\n",
    "-ERR no\r\n",
    ":-12\r\n",
    "_\r\n",
    "#t\r\n",
    ",inf\r\n",
    "(123456789\r\n",
    "$-1\r\n",
    "*-1\r\n",
  ),
  fc.string({ unit: "binary-ascii", maxLength: 30 }).map(bulk),
  fc.constantFrom("!8\r\nERR a\r\nb\r\n", "=7\r\ntxt:a\r\n\r\n", "*0\r\n", "%0\r\n", bulk("\r\n*3\r\n")),
);
const { value } = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    scalar,
    fc
      .tuple(fc.constantFrom("*", "~", ">"), fc.array(tie("value"), { maxLength: 4 }))
      .map(([type, all]) => `${type}${all.length}\r\n${all.join("")}`),
    fc
      .array(fc.tuple(tie("value"), tie("value")), { maxLength: 3 })
      .map((all) => `%${all.length}\r\n${all.flat().join("")}`),
    fc.tuple(tie("value"), tie("value"), tie("value")).map(([a, b, c]) => `|1\r\n${a}${b}${c}`),
  ),
}));

function framed(text: string, sizes: readonly number[] = [text.length]): readonly Reply[] | null {
  const framer = new ReplyFramer();
  const bytes = Buffer.from(text, "latin1");
  const replies: Reply[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    const some = framer.push(bytes.subarray(at, at + size));
    if (some === null) return null;
    replies.push(...some);
    at += size;
  }
  return replies;
}

describe("replies", () => {
  it("are told apart, however they are cut", () => {
    fc.assert(
      fc.property(
        fc.array(value, { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }),
        (values, sizes) => {
          const text = values.join("");
          assert.equal(framed(text)?.length, values.length, text);
          assert.deepEqual(framed(text, sizes), framed(text));
          assert.deepEqual(framed(text, [1]), framed(text));
        },
      ),
      { numRuns: share(3000) },
    );
  });

  it("say what they are", () => {
    const none = { text: "", count: null, first: null };
    assert.deepEqual(framed("-WRONGTYPE Operation\r\n"), [
      { ...none, type: "-", text: "WRONGTYPE Operation" },
    ]);
    assert.deepEqual(framed("!6\r\nERR no\r\n"), [{ ...none, type: "!", text: "ERR no" }]);
    assert.deepEqual(framed(`>3\r\n${bulk("message")}${bulk("news")}${bulk("today")}`), [
      { ...none, type: ">", count: 3, first: "message" },
    ]);
    assert.deepEqual(framed(`*2\r\n*1\r\n${bulk("deep")}${bulk("second")}`), [
      { ...none, type: "*", count: 2, first: "second" },
    ]);
    assert.deepEqual(framed("*-1\r\n%1\r\n+a\r\n+b\r\n"), [
      { ...none, type: "*", count: 0 },
      { ...none, type: "%", count: 1, first: "a" },
    ]);
  });

  it("that are none are noticed", () => {
    for (const text of [
      "x\r\n",
      "\r\n",
      "*x\r\n",
      "$-2\r\n",
      "*1e3\r\n",
      "$?\r\n",
      "$10000000000000000\r\n",
      `${"*1\r\n".repeat(200)}`,
    ])
      assert.equal(framed(text), null, text);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        framed(Buffer.from(bytes).toString("latin1"), [3]);
      }),
      { numRuns: share(3000) },
    );
  });
});
