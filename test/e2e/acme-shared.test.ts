import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { dial } from "../support/client.ts";
import { type Pebble, rootOf, startPebble } from "../support/pebble.ts";
import { freePort } from "../support/ports.ts";
import { missing } from "../support/programs.ts";
import { createSite, runtimeName, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { StateServer, settled } from "../support/state.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

const skip = missing("pebble", "pebble-challtestsrv", "redis-server");
/** Deno's TLS can't answer the other. */
const byTls = runtimeName !== "deno";

describe("certificates by ACME, of routers with folders of their own and one shared state", { skip }, () => {
  let site: Site;
  let upstream: Upstream;
  let redis: StateServer;
  let pebble: Pebble;
  let root = "";
  /** The authority comes to the first alone. */
  let first: TestRouter;
  let second: TestRouter;
  const folders: string[] = [];

  async function start(more: Readonly<Record<string, string>>): Promise<TestRouter> {
    const folder = mkdtempSync(join(site.folder, "acme-"));
    folders.push(folder);
    return startRouter(site, {
      SALLYPORT_CERT: "",
      SALLYPORT_KEY: "",
      SALLYPORT_HOST: "gate.test",
      SALLYPORT_ACME: pebble.directory,
      SALLYPORT_ACME_DIR: folder,
      SALLYPORT_ACME_CA: join(site.folder, "ca.crt"),
      SALLYPORT_ACME_CHALLENGE: byTls ? "tls-alpn-01" : "http-01",
      SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?client=none&sni=a.test`,
      SALLYPORT_STATE_URL: `redis://127.0.0.1:${redis.port}`,
      SALLYPORT_STATE_SECRET: Buffer.alloc(32, 8).toString("base64"),
      ...more,
    });
  }

  before(async () => {
    site = await createSite(["localhost"]);
    [upstream, redis] = await Promise.all([tcpUpstream(echo), StateServer.start(site)]);
    const port = await freePort();
    pebble = await startPebble(site, byTls ? { tlsPort: port } : { tlsPort: 1, httpPort: port });
    root = await rootOf(site, pebble);
    first = await start({ [byTls ? "SALLYPORT_LISTEN" : "SALLYPORT_ADMIN_LISTEN"]: `127.0.0.1:${port}` });
  });
  after(async () => {
    await Promise.all([first?.stop(), second?.stop()]);
    pebble?.stop();
    redis?.stop();
    upstream?.close();
    site?.remove();
  });

  const inside = (which: number): string => {
    const folder = folders[which] ?? "";
    return join(folder, readdirSync(folder)[0] ?? "");
  };
  const kept = (which: number, path: string): string => readFileSync(join(inside(which), path), "utf8");
  /** Validations that are under way. The authority may remember that a name is ours, and ask for none. */
  const pending = (which: number): readonly string[] => {
    const folder = join(inside(which), "challenges", byTls ? "tls-alpn-01" : "http-01");
    return existsSync(folder) ? readdirSync(folder) : [];
  };
  const ordered = (router: TestRouter): readonly unknown[] =>
    router
      .errors()
      .split("\n")
      .filter((line) => line.includes('"message":"a certificate was ordered"'))
      .map((line) => (JSON.parse(line) as { name: unknown }).name);

  /** The serial number of what a client sees; `null` while it sees nothing that it trusts. */
  async function serial(router: TestRouter, name: string): Promise<string | null> {
    try {
      const socket = await dial(site, router.port, name, { as: null, ca: root });
      const { serialNumber } = socket.getPeerCertificate();
      socket.destroy();
      return serialNumber;
    } catch {
      return null;
    }
  }

  it("are ordered once, and served by all of them", async () => {
    await settled(async () => (await serial(first, "a.test")) !== null);
    second = await start({});
    await settled(async () => (await serial(second, "a.test")) === (await serial(first, "a.test")));
    await settled(async () => (await serial(second, "gate.test")) === (await serial(first, "gate.test")));
    assert.deepEqual([[...ordered(first)].sort(), ordered(second)], [["a.test", "gate.test"], []]);
    assert.equal(kept(1, "certificates/a.test.pem"), kept(0, "certificates/a.test.pem"));
  });

  it("one that is removed is ordered anew for all, though the authority comes to another router", async () => {
    const before = await serial(first, "a.test");
    rmSync(join(inside(1), "certificates", "a.test.pem"));
    await settled(async () => {
      const now = await serial(second, "a.test");
      return now !== before && now === (await serial(first, "a.test"));
    });
    assert.deepEqual(
      [...ordered(first), ...ordered(second)].filter((name) => name === "a.test"),
      ["a.test", "a.test"],
    );
    assert.equal(kept(1, "account.key"), kept(0, "account.key"), "with one account");
    assert.deepEqual([0, 1].map(pending), [[], []]);
  });
});
