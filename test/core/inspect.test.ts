import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { inspect, inspectFrom } from "../../src/core/inspect.ts";
import type { Connection } from "../../src/types.ts";
import { more, no, ok, type Parsed } from "../../src/wire/cursor.ts";

/** Gives the chunks one by one, then its end. */
function saying(...chunks: readonly number[][]): Connection & { reads: number } {
  const left = chunks.map((chunk) => Uint8Array.from(chunk));
  const connection = {
    reads: 0,
    async read() {
      connection.reads++;
      return left.shift() ?? null;
    },
  };
  return connection as unknown as Connection & { reads: number };
}

/** As many bytes as the first one says, itself not among them; 0 is none of them. */
function counted(bytes: Uint8Array): Parsed<number> {
  const [length] = bytes;
  if (length === undefined) return more(1);
  if (length === 0) return no("malformed", "nothing");
  return bytes.length > length ? ok(length, length + 1) : more(length + 1);
}

describe("looking at first bytes", () => {
  it("says at once what a first chunk says that is enough, and reads no more", () => {
    const connection = saying([9]);
    const first = Uint8Array.of(2, 7, 7, 5);
    assert.deepEqual(inspectFrom(first, connection, counted), { kind: "ok", value: 2, used: 3, head: first });
    const empty = Uint8Array.of(0);
    const refused = { kind: "no", code: "malformed", detail: "nothing", head: empty };
    assert.deepEqual(inspectFrom(empty, connection, counted), refused);
    assert.equal(connection.reads, 0);
  });

  it("says at once that a connection was closed before a word", () => {
    assert.deepEqual(inspectFrom(null, saying(), counted), { kind: "closed", head: new Uint8Array(0) });
  });

  it("reads on for what is missing, an empty chunk included, and keeps all of it", async () => {
    const connection = saying([], [3, 1], [2], [], [3, 4]);
    const head = Uint8Array.of(3, 1, 2, 3, 4);
    assert.deepEqual(await inspect(connection, counted), { kind: "ok", value: 3, used: 4, head });
    assert.equal(connection.reads, 5);
  });

  it("gives what there was of it where the connection closes in the middle", async () => {
    const head = Uint8Array.of(4, 1, 2);
    assert.deepEqual(await inspect(saying([4, 1], [2]), counted), { kind: "closed", head });
  });

  it("does not ask its parser before there is as much as that asked for", async () => {
    let asked = 0;
    const parse = (bytes: Uint8Array): Parsed<number> => {
      asked++;
      return counted(bytes);
    };
    await inspect(saying([5], [1], [2], [3], [4], [5]), parse);
    assert.equal(asked, 2);
  });
});
