import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { securedOnSocket } from "../../src/runtime/bun-loop.ts";
import type { Connection, ListenAddress } from "../../src/types.ts";
import { Pairs, readSome } from "../support/pairs.ts";

describe("a socket of our own in front of a connection", () => {
  let pairs: Pairs;
  before(async () => {
    pairs = await Pairs.open();
  });
  after(() => pairs?.close());

  it("is never given to a stranger who connects first", async () => {
    const { runtime } = pairs;
    const [peer, connection] = await pairs.pair();
    const strangers: Connection[] = [];
    const dial = async (at: ListenAddress, said: Uint8Array): Promise<Connection> => {
      const dialled = await ("path" in at
        ? runtime.dialLocal(at.path)
        : runtime.dial({ ...at, withinMs: 5000 }));
      await dialled.write(said);
      return dialled;
    };
    const near = await securedOnSocket(
      runtime,
      connection,
      async (at, ticket) => {
        for (const said of [new Uint8Array(32), new Uint8Array(100).fill(1), ticket.subarray(0, 31)]) {
          const stranger = await dial(at, said);
          await stranger.closeWrite();
          assert.equal(await stranger.read().catch(() => null), null);
          strangers.push(stranger);
        }
        return dial(at, ticket);
      },
      async (dialled) => dialled,
    );
    await peer.write(Buffer.from("to the end"));
    assert.equal((await readSome(near, 10)).toString(), "to the end");
    await near.write(Buffer.from("and back"));
    assert.equal((await readSome(peer, 8)).toString(), "and back");
    for (const one of [...strangers, near, peer]) one.abort();
    await connection.closed;
  });
});
