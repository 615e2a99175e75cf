import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { Authority, createAuthority } from "../../src/authority/authority.ts";
import { Pairs, readAll } from "../support/pairs.ts";

/** More than any buffer between two sockets has room for. */
const much = 12 * 1024 * 1024;
const dayMs = 86_400_000;

let pairs: Pairs;
before(async () => {
  pairs = await Pairs.open();
});
after(() => pairs?.close());

describe("the end of a connection", () => {
  it("comes behind all that was written, also where the peer has ended first, and whoever wrote hears so", async () => {
    const [client, server] = await pairs.pair();
    await client.closeWrite();
    assert.equal(await server.read(), null);
    const written = server.write(new Uint8Array(much));
    const ended = server.closeWrite();
    assert.equal((await readAll(client)).length, much);
    await written;
    await ended;
    await server.closed;
    await client.closed;
  });

  it("comes behind what waits for a reader who is slow to begin", async () => {
    const [client, server] = await pairs.pair();
    await client.closeWrite();
    assert.equal(await server.read(), null);
    await server.write(new Uint8Array(1000));
    await server.closeWrite();
    await server.closed;
    assert.equal((await readAll(client)).length, 1000);
  });

  it("is heard by a handshake that had just begun, however soon it comes", async () => {
    const authority = await Authority.open(await createAuthority("Endings"));
    const context = pairs.runtime.tlsContext({
      ...(await authority.server(["endings.test"], dayMs)),
      clientCas: null,
      sessionContext: "endings",
    });
    for (const later of [0, 1, 2, 3, 4, 6]) {
      const [, server] = await pairs.pair();
      const handshake = pairs.runtime.terminate(server, context, null);
      const failed = assert.rejects(handshake, { reason: "handshake_failed" });
      for (let i = 0; i < later; i++) await null;
      server.abort();
      const patience = new AbortController();
      await Promise.race([
        failed,
        pause(5000, undefined, { signal: patience.signal }).then(() => assert.fail(`none after ${later}`)),
      ]);
      patience.abort();
    }
  });
});
