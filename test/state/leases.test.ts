import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Admission } from "../../src/core/admission.ts";
import type { LimitReached } from "../../src/limits/limit-reached.ts";
import { silentLog } from "../../src/observe/log.ts";
import { CapLeases } from "../../src/state/leases.ts";
import { RedisState } from "../../src/state/redis-state.ts";
import { SharedCaps } from "../../src/state/shared-caps.ts";
import { missing } from "../support/programs.ts";
import { createSite, type Site } from "../support/router.ts";
import { StateServer, settled } from "../support/state.ts";

const anyRate = { connectionsPerSource: null, connectionsPerIdentity: null };
const secret = new Uint8Array(32).fill(3);

describe("places under caps that routers share", { skip: missing("redis-server") }, () => {
  let site: Site;
  let server: StateServer;
  const ends: (() => Promise<void>)[] = [];

  async function router(): Promise<{ readonly leases: CapLeases; readonly state: RedisState }> {
    const state = await RedisState.open({ ...server.settings, secret }, silentLog);
    const leases = new CapLeases(state);
    leases.start();
    await state.start(10_000);
    ends.push(async () => {
      await leases.close();
      await state.close();
    });
    return { leases, state };
  }

  before(async () => {
    site = await createSite(["localhost"]);
    server = await StateServer.start(site);
  });
  after(async () => {
    for (const end of ends) await end();
    server?.stop();
    site?.remove();
  });

  it("however many come at once, at any router, no more are let in than there are places", async () => {
    const routers = await Promise.all([router(), router(), router()]);
    for (const cap of [5, 64, 500]) {
      const key = `cap ${cap}`;
      const taken = await Promise.all(
        Array.from({ length: 2 * cap }, (_, i) => routers[i % 3]?.leases.take(key, cap)),
      );
      const granted = taken.filter(Boolean).length;
      assert.ok(granted <= cap, `${granted} of ${cap}`);
      // What others hold in advance, a sixty-fourth each at most.
      assert.ok(granted >= cap - 3 * Math.floor(cap / 64), `${granted} of ${cap}`);
      for (const [i, had] of taken.entries()) if (had) routers[i % 3]?.leases.leave(key);
    }
  });

  it("what one gives back another may have at once, however often they come and go", async () => {
    const [a, b] = await Promise.all([router(), router()]);
    for (let i = 0; i < 20; i++) {
      await settled(() => a.leases.take("one", 1));
      assert.equal(await b.leases.take("one", 1), false);
      a.leases.leave("one");
      await settled(() => b.leases.take("one", 1));
      assert.equal(await a.leases.take("one", 1), false);
      b.leases.leave("one");
    }
  });

  it("while the state is away each keeps to the cap by itself, and afterwards says what it has", async () => {
    const [a, b] = await Promise.all([router(), router()]);
    assert.deepEqual([await a.leases.take("away", 2), await b.leases.take("away", 2)], [true, true]);
    assert.equal(await a.leases.take("away", 2), false);
    server.kill();
    await settled(() => a.state.away !== null && b.state.away !== null);
    assert.deepEqual([await a.leases.take("away", 2), await a.leases.take("away", 2)], [true, false]);
    assert.deepEqual([await b.leases.take("away", 2), await b.leases.take("away", 2)], [true, false]);
    await server.revive();
    await settled(() => a.state.away === null && b.state.away === null);
    // Four are open; it takes three to leave before another may come.
    for (const { leases } of [a, b, a]) {
      assert.equal(await b.leases.take("away", 2), false);
      leases.leave("away");
    }
    await settled(() => b.leases.take("away", 2));
  });

  it("a place that was left while it was asked for is given back, and once", async () => {
    const [a, b] = await Promise.all([router(), router()]);
    const caps = { connections: 10, perSource: 1, perIdentity: 1 };
    const own = new Admission(caps);
    const place = await new SharedCaps(own, { ...caps, ...anyRate }, a.leases, a.state).enter(() => {});
    const entering = place.enterSource("192.0.2.1");
    place.leave();
    await entering;
    assert.equal(own.connections, 0);
    await settled(() => b.leases.take("source 192.0.2.1", 1));
    assert.equal(await a.leases.take("source 192.0.2.1", 1), false);
  });

  it("this router's own caps hold whatever is heard from elsewhere", async () => {
    const { leases, state } = await router();
    const caps = { connections: 10, perSource: 10, perIdentity: 1 };
    const shares = { perSource: 10, perIdentity: 10, ...anyRate };
    const shared = new SharedCaps(new Admission(caps), shares, leases, state);
    const [first, second] = [await shared.enter(() => {}), await shared.enter(() => {})];
    await first.enterIdentity("alice");
    await assert.rejects(async () => second.enterIdentity("alice"), /1 connections are open/);
    first.leave();
    second.leave();
  });

  it("connections that come too fast at all of them together are refused at any, where a rate is set", async () => {
    const routers = await Promise.all([router(), router()]);
    const rate = { perSecond: 0.05, burst: 3 };
    const caps = { connections: 100, perSource: 100, perIdentity: 100 };
    const places = await Promise.all(
      [0, 1, 0, 1].map(async (i) => {
        const { leases, state } = routers[i] ?? routers[0];
        const shares = { ...caps, connectionsPerSource: rate, connectionsPerIdentity: rate };
        return new SharedCaps(new Admission(caps), shares, leases, state).enter(() => {});
      }),
    );
    const reasons = (all: readonly PromiseSettledResult<void>[]) =>
      all.flatMap((one) => (one.status === "rejected" ? [(one.reason as LimitReached).limit] : []));
    const from = places.map(async (place) => place.enterSource("192.0.2.7"));
    assert.deepEqual(reasons(await Promise.allSettled(from)), ["source_rate"]);
    const by = places.map(async (place) => place.enterIdentity("bob"));
    assert.deepEqual(reasons(await Promise.allSettled(by)), ["identity_rate"]);
    for (const place of places) place.leave();
  });
});
