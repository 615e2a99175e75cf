import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Marks } from "../../src/adapters/redis/marks.ts";
import { replyLine } from "../../src/wire/redis.ts";
import { share } from "../support/fuzz.ts";

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
const nameOf = (mark: Uint8Array): string => latin1(mark).split("\r\n")[2] ?? "";

/** How servers complain: the newest, those before, and others that speak as they do. */
const complaints = [
  (name: string) => `-ERR unknown command '${name}', with args beginning with: \r\n`,
  (name: string) => `-ERR unknown command \`${name}\`, with args beginning with: \r\n`,
  (name: string) => `-ERR unknown command '${name}'\r\n`,
];

describe("answers of the router among the upstream's", () => {
  it("come where their commands were, however the stream is cut", () => {
    const other = fc.oneof(
      fc.constantFrom(
        ...[
          "+OK\r\n",
          "-",
          "-ERR unknown command ",
          "-ERR unknown command 'x'\r\n",
          "-ERR unknown command 'SALLYPORT-",
        ],
        `-ERR unknown command 'SALLYPORT-${"0".repeat(32)}'\r\n`,
      ),
      fc.string({ unit: "binary-ascii", maxLength: 20 }),
    );
    fc.assert(
      fc.property(
        fc.array(fc.oneof(other, fc.constant(null)), { maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
        fc.constantFrom(...complaints),
        (parts, cuts, complain) => {
          const marks = new Marks();
          let sent = "";
          let expected = "";
          parts.forEach((part, i) => {
            const reply = `-NOPERM number ${i}\r\n`;
            sent += part ?? complain(nameOf(marks.mark(Buffer.from(reply))));
            expected += part ?? reply;
          });
          const bytes = Buffer.from(sent, "latin1");
          let got = "";
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const size = cuts[i % cuts.length] ?? 1;
            got += latin1(marks.replies(bytes.subarray(at, at + size)));
            at += size;
          }
          assert.equal(got, expected);
          assert.equal(marks.waiting, false);
        },
      ),
      { numRuns: share(5000) },
    );
  });

  it("cost nothing while there are none", () => {
    const chunk = Uint8Array.of(0x2d);
    assert.equal(new Marks().replies(chunk), chunk);
  });

  it("can't be called for by the upstream's words alone", () => {
    const marks = new Marks();
    const name = nameOf(marks.mark(replyLine("-NOPERM")));
    for (const text of [
      `+${name}\r\n`,
      `$42\r\n${name}\r\n`,
      `-ERR unknown command ''${name}\r\n`,
      `-ERR unknown command '${name.toLowerCase()}'\r\n`,
    ])
      assert.equal(latin1(marks.replies(Buffer.from(text))), text);
    assert.match(name, /^SALLYPORT-[0-9A-F]{32}$/);
    assert.notEqual(name, nameOf(marks.mark(replyLine("-NOPERM"))));
  });

  it("are not without number", () => {
    const marks = new Marks();
    for (let i = 0; i < 257; i++) marks.mark(replyLine("-NOPERM"));
    assert.equal(marks.tooMany, true);
  });
});
