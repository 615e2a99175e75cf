import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLog } from "../../src/observe/log.ts";

const written = (format: "json" | "text", problem: string): string[] => {
  const lines: string[] = [];
  const log = createLog({ write: (line) => void lines.push(line), close: async () => {} }, format, "info");
  log.warn("it went wrong", { problem });
  return lines;
};

describe("the operator's log", () => {
  it("is one line a message, whatever somebody else says in it", () => {
    const said = "no\n12:00:00 info  all is well\r\u001b[2J\u2028";
    for (const format of ["json", "text"] as const) {
      const [line = "", ...others] = written(format, said);
      assert.deepEqual(others, []);
      assert.ok(!["\n", "\r", "\u001b"].some((one) => line.includes(one)), line);
    }
    const [text = ""] = written("text", said);
    assert.match(
      text,
      / warn {2}it went wrong problem=no\\u\{a\}12:00:00 info {2}all is well\\u\{d\}\\u\{1b\}\[2J\\u\{2028\}$/,
    );
  });
});
