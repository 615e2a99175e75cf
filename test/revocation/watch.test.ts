import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { silentLog } from "../../src/observe/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import type { ListFiles } from "../../src/revocation/read-lists.ts";
import { RevocationWatch } from "../../src/revocation/watch.ts";

/** A watch on a deny list that says one thing after the other. */
function watching(first: string) {
  let text = first;
  let writes = 0;
  const files: ListFiles = {
    stamp: () => String(writes),
    isFolder: () => false,
    list: () => [],
    readBytes: () => new TextEncoder().encode(text),
  };
  const settings = { rule: "hard", deny: "deny.list", ocsp: null } as const;
  const watch = new RevocationWatch(settings, files, silentLog, new Metrics());
  return {
    /** Whom it denies at the next look, where the file says something else by then. */
    look: (now?: string): string => {
      if (now !== undefined) {
        text = now;
        writes++;
      }
      watch.tick(Date.now());
      return [...watch.denied.serials].sort().join(" ");
    },
  };
}

describe("a deny list that is written in place", () => {
  it("is not taken for empty while it is written, nor for half of what it says", () => {
    const { look } = watching("0a\n0b\n");
    assert.equal(look(), "0a 0b");
    assert.equal(look(""), "0a 0b");
    assert.equal(look("0a\n0b\n0c\n"), "0a 0b 0c");
    assert.equal(look("0a\n0d\n"), "0a 0b 0c 0d");
    assert.equal(look("0a\n0b\n0c\n0d\n"), "0a 0b 0c 0d");
    assert.equal(look(), "0a 0b 0c 0d");
  });

  it("denies at once, and no longer once it says so at two looks in a row", () => {
    const { look } = watching("0a\n0b\n");
    assert.equal(look("0b\n0c\n"), "0a 0b 0c");
    assert.equal(look(), "0b 0c");
    assert.equal(look(""), "0b 0c");
    assert.equal(look(), "");
    assert.equal(look("0a\n"), "0a");
  });
});
