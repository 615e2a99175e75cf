import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { Limits } from "../../src/limits/limits.ts";
import { portableRelay } from "../../src/runtime/relay.ts";
import type { Connection, RelayEnd } from "../../src/types.ts";
import { Pairs, readAll } from "../support/pairs.ts";

const kib = 1024;
const relayLimits = { idleMs: 20_000, halfCloseMs: 10_000 };
const off = { connectionsPerSource: null, connectionsPerIdentity: null, handshakes: 100, memory: null };
const text = Uint8Array.from({ length: 768 * kib }, (_, i) => (i * 7919) >> 8);
const sum = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

let pairs: Pairs;
before(async () => {
  pairs = await Pairs.open();
});
after(() => pairs?.close());

type Relay = (left: Connection, right: Connection) => Promise<RelayEnd>;
const relays: Readonly<Record<string, Relay>> = {
  "the runtime's relay": (left, right) => pairs.runtime.relay(left, right, relayLimits),
  "the portable relay": (left, right) => portableRelay(left, right, relayLimits),
};

async function send(to: Connection, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; at += 64 * kib) await to.write(bytes.subarray(at, at + 64 * kib));
  await to.closeWrite();
}

describe("bandwidth", () => {
  for (const [name, relay] of Object.entries(relays)) {
    for (const way of ["to the client", "from the client"] as const) {
      it(`is held ${way} by ${name}, and nothing is lost`, async () => {
        const limits = new Limits({ ...off, bandwidthPerSource: 1024 * kib, bandwidthPerIdentity: null }, 1);
        const [client, accepted] = await pairs.pair();
        const [dialled, upstream] = await pairs.pair();
        const end = relay(limits.pace(accepted, "192.0.2.1", null), dialled);
        const [from, to] = way === "to the client" ? [upstream, client] : [client, upstream];
        const started = performance.now();
        const [heard] = await Promise.all([readAll(to), send(from, text)]);
        assert.equal(sum(heard), sum(text));
        await to.closeWrite();
        assert.equal(await end, "done");
        // Half a second's worth beyond what may come at once; what the last chunk cost nobody waits for.
        assert.ok(performance.now() - started > 150, `${performance.now() - started} ms`);
      });
    }

    it(`is shared by the connections of an identity, ${name}`, async () => {
      const limits = new Limits({ ...off, bandwidthPerSource: null, bandwidthPerIdentity: 1024 * kib }, 1);
      const amounts = await Promise.all(
        [1, 2, 3].map(async () => {
          const [client, accepted] = await pairs.pair();
          const [dialled, upstream] = await pairs.pair();
          void relay(limits.pace(accepted, null, "key"), dialled);
          void send(client, text).catch(() => {});
          let seen = 0;
          return {
            all: (async () => {
              for (let chunk = await upstream.read(); chunk !== null; chunk = await upstream.read())
                seen += chunk.length;
              client.abort();
            })(),
            get seen() {
              return seen;
            },
          };
        }),
      );
      await Promise.race(amounts.map(({ all }) => all));
      const least = Math.min(...amounts.map(({ seen }) => seen));
      assert.ok(least > text.length / 4, `one had all and another ${least} bytes`);
      await Promise.all(amounts.map(({ all }) => all));
    });
  }

  it("costs nothing where there is no limit", async () => {
    const [client] = await pairs.pair();
    const limits = new Limits({ ...off, bandwidthPerSource: null, bandwidthPerIdentity: null }, 1);
    assert.equal(limits.pace(client, "192.0.2.1", "key"), client);
  });

  it("that makes a connection wait keeps no reader waiting once it is gone", async () => {
    const limits = new Limits({ ...off, bandwidthPerSource: 64 * kib, bandwidthPerIdentity: null }, 1);
    const [client, accepted] = await pairs.pair();
    const held = limits.pace(accepted, "192.0.2.1", null);
    void client.write(new Uint8Array(512 * kib)).catch(() => {});
    let seen = 0;
    while (held.waits !== true) seen += (await held.read())?.length ?? 0;
    assert.ok(seen >= 64 * kib, `${seen}`);
    const next = held.read().catch(() => null);
    held.abort("reset");
    await next;
    assert.ok(held.waits !== true);
  });
});
