import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { joinedChunks } from "./web-browser.ts";

describe("a body in chunks, as the tests read it", () => {
  it("is joined, extensions and many bytes a character among it", () => {
    const bytes = (text: string): string => Buffer.from(text).toString("latin1");
    const euros = bytes("€€");
    assert.equal(joinedChunks(`6\r\n${euros}\r\nA;x="y"\r\n0123456789\r\n0\r\n\r\n`), `${euros}0123456789`);
    assert.equal(joinedChunks("0\r\n\r\n"), "");
  });

  for (const cut of ["", "5\r\nab", "2\r\nabc\r\n0\r\n\r\n", "2\r\nab\r\n", "x\r\n"])
    it(`is none where it is cut: ${JSON.stringify(cut)}`, () => assert.throws(() => joinedChunks(cut)));
});
