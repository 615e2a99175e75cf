import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { missing } from "../support/programs.ts";
import { type Redis, startRedis } from "../support/redis.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, tcpUpstream } from "../support/upstreams.ts";
import { bulk, type Field, handshakes, idler, oddClients, oddMs, pause } from "./clients.ts";
import { Ledger } from "./ledger.ts";
import { growth, type Vitals, vitalsOf } from "./vitals.ts";

/** `SALLYPORT_TEST_SOAK_MINUTES=30` is what a release should have stood. */
const minutes = Number(process.env.SALLYPORT_TEST_SOAK_MINUTES ?? 2);
const workers = 2;
const idle = 20;
const reloadEveryMs = 10_000;
const killEveryMs = Math.min(60_000, minutes * 15_000);
/** Code is still being compiled and heaps find their size in the first minutes: short runs say little. */
const mayGrow = minutes >= 15 ? 1.1 : 1.4;
const flapEveryMs = 25_000;
const awayMs = 7000;
const dayMs = 86_400_000;

let site: Site;
let router: TestRouter;

const noRedis = missing("redis-server");
let redis: Redis | null = null;
let returns = 0;

before(async () => {
  site = await createSite(["localhost", "echo.test"]);
  if (noRedis === false) redis = await startRedis(site.folder);
  const upstream = await tcpUpstream(echo);
  router = await startRouter(site, {
    SALLYPORT_WORKERS: String(workers),
    SALLYPORT_HANDSHAKE_TIMEOUT: "3s",
    ...(redis === null
      ? {}
      : {
          SALLYPORT_STATE_URL: `redis://127.0.0.1:${redis.port}`,
          SALLYPORT_STATE_SECRET: randomBytes(32).toString("base64"),
        }),
    SALLYPORT_ROUTE_ECHO: `tcp://127.0.0.1:${upstream.port}?sni=echo.test`,
  });
});
after(async () => {
  await router?.stop();
  redis?.stop();
  site?.remove();
});

/** The worker processes that are ready, by number. */
function workerPids(): ReadonlyMap<number, number> {
  const lines = router
    .errors()
    .split("\n")
    .filter((line) => line.includes('"worker ready"'));
  return new Map(
    lines
      .map((line) => JSON.parse(line) as { worker: number; pid: number })
      .map(({ worker, pid }) => [worker, pid]),
  );
}

const reloads = (): number => router.errors().split('"the configuration was read anew"').length - 1;

describe("a router of several processes under mixed load", () => {
  const ledger = new Ledger();
  const vitals: Vitals[] = [];
  let asked = 0;

  it(`goes on for ${minutes} minutes: no request fails that might not`, {
    timeout: (minutes + 3) * 60_000,
  }, async (t) => {
    const end = Date.now() + minutes * 60_000;
    const field: Field = {
      site,
      port: router.port,
      ledger,
      over: () => Date.now() >= end,
    };
    const every = async (ms: number, act: () => void | Promise<void>): Promise<void> => {
      for (;;) {
        await pause(ms);
        // What is done shortly before the end could not be seen any more.
        if (Date.now() >= end - oddMs) return;
        await act();
      }
    };
    await Promise.all([
      handshakes(field),
      bulk(field),
      oddClients(field),
      ...Array.from({ length: idle }, () => idler(field)),
      every(reloadEveryMs, async () => {
        asked++;
        site.save("server", await site.authority.server(["localhost", "echo.test"], dayMs));
      }),
      every(killEveryMs, () => {
        const pid = workerPids().get(1 + (ledger.kills % workers));
        if (pid === undefined) return;
        ledger.killed();
        process.kill(pid, "SIGKILL");
      }),
      every(flapEveryMs, async () => {
        if (redis === null) return;
        redis.stop();
        await pause(awayMs);
        redis = await startRedis(site.folder, [], redis.port);
        returns++;
      }),
      every(1000, () => void vitals.push(vitalsOf(router.process.pid ?? 0))),
    ]);
    await pause(oddMs + 3000);
    t.diagnostic(JSON.stringify({ ...ledger.counts, kills: ledger.kills, reloads: reloads() }));
    const said = router.records().filter(({ outcome, route }) => outcome === "refused" && route === "echo");
    assert.deepEqual(ledger.failures, [], JSON.stringify([ledger.failures, said], null, 1));
    assert.ok(ledger.kills > 0);
    assert.ok(
      reloads() >= asked * workers - 2 * ledger.kills,
      `${reloads()} reloads of ${asked} in ${workers} workers`,
    );
  });

  it("had a Redis that came and went", { skip: noRedis }, async (t) => {
    t.diagnostic(`${returns} times`);
    assert.ok(returns > 0);
    const response = await fetch(`http://127.0.0.1:${router.adminPort}/readyz?verbose`);
    assert.match(await response.text(), /^state: connected$/m);
  });

  it("holds no more memory and files in the end than before", (t) => {
    const memory = growth(vitals.map((one) => one.memory));
    const descriptors = growth(vitals.map((one) => one.descriptors));
    t.diagnostic(
      `memory: ${memory.toFixed(3)} of ${vitals.at(-1)?.memory.toFixed(0)} MiB, descriptors: ${descriptors.toFixed(3)}`,
    );
    assert.ok(memory <= mayGrow, `memory grew to ${memory} of what it was`);
    assert.ok(descriptors <= mayGrow, `descriptors grew to ${descriptors} of what they were`);
  });

  it("has a record for each connection, and one alone", (t) => {
    const records = router.records();
    t.diagnostic(
      `${records.length} records, ${ledger.connections} connections, ${ledger.excused} may have none`,
    );
    assert.deepEqual(ledger.unaccounted(records), []);
    assert.ok(records.length <= ledger.connections);
    assert.ok(records.length >= ledger.connections - ledger.excused);
  });
});
