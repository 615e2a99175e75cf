import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { dial, dialTcp, firstBytes } from "../support/client.ts";
import { clientHello, records } from "../support/client-hello.ts";
import { type Pebble, rootOf, startPebble } from "../support/pebble.ts";
import { freePort } from "../support/ports.ts";
import { missing } from "../support/programs.ts";
import {
  createSite,
  environment,
  runtimeName,
  type Site,
  sallyport,
  startRouter,
  type TestRouter,
} from "../support/router.ts";
import { run } from "../support/run.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

const skip = missing("pebble", "pebble-challtestsrv");

let site: Site;
let upstream: Upstream;
before(async () => {
  site = await createSite(["localhost", "covered.test"]);
  upstream = await tcpUpstream(echo);
});
after(() => {
  upstream?.close();
  site?.remove();
});

/** What `found` gives once it gives something; waits for it, bounded. */
async function eventually<T>(found: () => T | Promise<T>, what: () => string): Promise<NonNullable<T>> {
  for (let i = 0; i < 1200; i++) {
    const value = await found();
    if (value !== undefined && value !== null && value !== false) return value as NonNullable<T>;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`it did not come: ${what()}`);
}

const newFolder = (): string => mkdtempSync(join(site.folder, "acme-"));
/** What is kept of the one directory. */
const kept = (folder: string): string => join(folder, readdirSync(folder)[0] ?? "");
const to = (query: string): string => `tcp://127.0.0.1:${upstream.port}?client=none&${query}`;

/** A router that has no certificate but those that it orders. */
const orders = (pebble: Pebble | string, folder: string, more: Readonly<Record<string, string>>) =>
  startRouter(site, {
    SALLYPORT_CERT: "",
    SALLYPORT_KEY: "",
    SALLYPORT_ACME: typeof pebble === "string" ? pebble : pebble.directory,
    SALLYPORT_ACME_DIR: folder,
    SALLYPORT_ACME_CA: join(site.folder, "ca.crt"),
    SALLYPORT_ACME_CHALLENGE: challenge,
    ...more,
  });

/** The operator's log, as it was written. */
const logged = (router: TestRouter, message: string): readonly Record<string, unknown>[] =>
  router
    .errors()
    .split("\n")
    .filter((line) => line.includes(`"message":"${message}"`))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
/** Deno's TLS can't answer the other, and says so. */
const byTls = runtimeName !== "deno";
const challenge = byTls ? "tls-alpn-01" : "http-01";
/** The authority looks for the router there. */
const at = (port: number): Readonly<Record<string, string>> =>
  byTls ? { SALLYPORT_LISTEN: `127.0.0.1:${port}` } : { SALLYPORT_ADMIN_LISTEN: `127.0.0.1:${port}` };
const looksAt = (port: number) => (byTls ? { tlsPort: port } : { tlsPort: 1, httpPort: port });

const ordered = "a certificate was ordered";
const notOrdered = "no certificate could be ordered";

/** The serial number that a client sees who trusts the authority; `null` while it sees none. */
async function seen(router: TestRouter, name: string, ca: string): Promise<string | null> {
  try {
    const socket = await dial(site, router.port, name, { as: null, ca });
    const { serialNumber } = socket.getPeerCertificate();
    socket.write("hello");
    const answer = (await firstBytes(socket))?.toString();
    socket.destroy();
    return answer === "hello" ? serialNumber : null;
  } catch {
    return null;
  }
}
const served = (router: TestRouter, name: string, ca: string): Promise<string> =>
  eventually(
    () => seen(router, name, ca),
    () => `${name}: ${router.errors()}`,
  );

const admin = async ({ adminPort }: TestRouter, path: string): Promise<string> =>
  (await fetch(`http://127.0.0.1:${adminPort}${path}`)).text();

const accountLine = "at the authority that certificates are ordered from";

/** Two routers behind one name, of which the authority finds the first. */
async function startTwo() {
  const folder = newFolder();
  const port = await freePort();
  const pebble = await startPebble(site, looksAt(port));
  const given = join(site.folder, "given");
  mkdirSync(given);
  site.save("given/covered", await site.authority.server(["covered.test"], 86_400_000));
  const env = {
    SALLYPORT_HOST: "gate.test",
    SALLYPORT_ROUTE_A: to("sni=a.test,covered.test"),
    SALLYPORT_ROUTE_B: to("sni=b.test"),
    SALLYPORT_ROUTE_THROUGH: `tls://127.0.0.1:${upstream.port}?sni=covered.test`,
    SALLYPORT_CERT_DIR: given,
  };
  const found = { ...env, ...at(port) };
  // The other would have nobody validated while nobody listens there.
  const first = await orders(pebble, folder, found);
  const second = await orders(pebble, folder, env);
  return { folder, pebble, found, routers: [first, second] as const, root: await rootOf(site, pebble) };
}

async function startShortLived() {
  const port = await freePort();
  const pebble = await startPebble(site, { ...looksAt(port), validSeconds: 8 });
  const [, block = ""] = /```sh\n([\s\S]*?)```/.exec(readFileSync("docs/acme.md", "utf8")) ?? [];
  const example = [...block.matchAll(/^(SALLYPORT_\w+)="?(.*?)"?$/gm)].map(([, name, value]) => [
    name,
    value,
  ]);
  const router = await orders(pebble, newFolder(), {
    ...Object.fromEntries(example),
    SALLYPORT_LISTEN: "127.0.0.1:0",
    ...at(port),
    SALLYPORT_ACME: pebble.directory,
    SALLYPORT_ACME_DIR: newFolder(),
    SALLYPORT_ROUTE_A: to("sni=a.test"),
  });
  return { router, root: await rootOf(site, pebble) };
}

/** An authority that is not there, and one that looks for the router where it is not. */
async function startWithout() {
  const folder = newFolder();
  const pebble = await startPebble(site, looksAt(await freePort()));
  const routes = { SALLYPORT_ROUTE_A: to("sni=a.test") };
  const [nowhere, wrong] = await Promise.all([
    orders("https://localhost:1/dir", newFolder(), routes),
    orders(pebble, folder, routes),
  ]);
  return { folder, nowhere, wrong };
}

const macKey = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
async function startWorkers() {
  const port = await freePort();
  const pebble = await startPebble(site, { tlsPort: 1, httpPort: port, macKeys: { "kid-1": macKey } });
  const router = await orders(pebble, newFolder(), {
    SALLYPORT_ADMIN_LISTEN: `127.0.0.1:${port}`,
    SALLYPORT_ACME_CHALLENGE: "http-01",
    SALLYPORT_ACME_EAB_KID: "kid-1",
    SALLYPORT_ACME_EAB_HMAC_KEY: macKey,
    SALLYPORT_ACME_EMAIL: "ops@example.com",
    SALLYPORT_WORKERS: "2",
    SALLYPORT_ROUTE_A: to("sni=a.test"),
  });
  return { port, router, root: await rootOf(site, pebble) };
}

describe("certificates by ACME", { skip }, () => {
  // They wait for most of their time: so one starts while another waits.
  let last: Promise<unknown> = Promise.resolve();
  const starting = <T>(start: () => Promise<T>): (() => Promise<T>) => {
    let started: Promise<T> | undefined;
    before(() => {
      started = last.then(start);
      last = started.catch(() => {});
    });
    return () => started ?? start();
  };
  const two = starting(startTwo);
  const shortLived = starting(startShortLived);
  const without = starting(startWithout);
  const workers = starting(startWorkers);

  it("are had for the router's name and its routes', each once by routers that share the folder", async () => {
    const { folder, root, routers } = await two();
    const [first, second] = routers;
    const serial = await served(first, "a.test", root);
    assert.equal(await served(second, "a.test", root), serial, "the same at both");
    await served(first, "b.test", root);
    const own = await eventually(
      () => dial(site, first.port, "gate.test", { as: null, ca: root }).catch(() => null),
      () => first.errors(),
    );
    own.destroy();
    const names = [...logged(first, ordered), ...logged(second, ordered)].map(({ name }) => name);
    assert.deepEqual(names.sort(), ["a.test", "b.test", "gate.test"], "each once, and none that is there");

    if (byTls) {
      const record = await first.record(({ alpn, sni }) => alpn === "acme-tls/1" && sni === "a.test");
      assert.deepEqual(
        [record.outcome, record.reason, record.route, record.adapter, record.identity, record.detail],
        ["served", "ok", null, null, null, "answered a validation by ACME"],
      );
    }
    const inside = kept(folder);
    assert.equal(statSync(inside).mode & 0o777, 0o700);
    for (const path of ["account.key", "certificates/a.test.pem"])
      assert.equal(statSync(join(inside, path)).mode & 0o777, 0o600, path);
    assert.deepEqual(readdirSync(join(inside, "challenges", challenge)), [], "none is pending");
    assert.equal(await admin(first, "/readyz"), "ready\n");
    const metrics = (await admin(first, "/metrics")) + (await admin(second, "/metrics"));
    assert.match(metrics, /sallyport_acme_orders_total\{name="a.test",result="ok"\} 1/);
    assert.match(metrics, /sallyport_certificate_expiry_seconds\{name="a.test"\} \d+/);
  });

  it("no name that nobody validates answers acme-tls/1, and routes that pass TLS through keep it", async () => {
    const { root, routers } = await two();
    const [router] = routers;
    await served(router, "b.test", root);
    await assert.rejects(
      dial(site, router.port, "b.test", { as: null, ca: root, ALPNProtocols: ["acme-tls/1"] }),
    );
    // While there was no certificate for it, whoever looked was refused for that.
    const refused = await router.record(({ sni, reason }) => sni === "b.test" && reason === "no_protocol");
    assert.deepEqual([refused.outcome, refused.alpn], ["refused", null]);

    const raw = await dialTcp(router.port);
    const hello = records(clientHello({ serverName: "covered.test", alpn: ["acme-tls/1"] }));
    raw.write(hello);
    assert.deepEqual(await firstBytes(raw), Buffer.from(hello), "its upstream has the hello itself");
    raw.destroy();
  });

  it("the account's key and the certificates outlast the routers; what is gone is ordered again", async () => {
    const { pebble, folder, found, root, routers } = await two();
    const serial = await served(routers[0], "a.test", root);
    await Promise.all(routers.map((router) => router.stop()));
    const accounts = routers.flatMap((router) => logged(router, accountLine)).map(({ account }) => account);
    rmSync(join(kept(folder), "certificates", "b.test.pem"));
    const again = await orders(pebble, folder, found);
    await served(again, "b.test", root);
    assert.equal(await served(again, "a.test", root), serial);
    assert.deepEqual(
      logged(again, ordered).map(({ name }) => name),
      ["b.test"],
    );
    assert.deepEqual([accounts.includes(logged(again, accountLine)[0]?.account), accounts.length], [true, 1]);
    await again.stop();
  });

  it("are renewed before they end, and open connections stay", async () => {
    const { router, root } = await shortLived();
    // Certificates live so short here that on a busy machine one may have ended before it is looked at.
    const live = await eventually(
      () => dial(site, router.port, "a.test", { as: null, ca: root }).catch(() => null),
      () => router.errors(),
    );
    const serial = live.getPeerCertificate().serialNumber;
    await eventually(
      async () => ((await seen(router, "a.test", root)) ?? serial) !== serial,
      () => router.errors(),
    );
    live.write("hello");
    assert.equal((await firstBytes(live))?.toString(), "hello");
    live.destroy();
    assert.deepEqual(logged(router, notOrdered), []);
    // Two names more are those of the example in docs/acme.md.
    const names = new Set(logged(router, ordered).map(({ name }) => name));
    assert.deepEqual([...names].sort(), ["a.test", "app.example.com", "gate.example.com"]);
    await router.stop();
  });

  it("are proven in a way that the runtime's TLS has, or the router does not start", async () => {
    const { status, err } = await run(sallyport[0], [...sallyport.slice(1), "check"], {
      env: environment({
        SALLYPORT_ACME: "letsencrypt",
        SALLYPORT_ACME_DIR: newFolder(),
        SALLYPORT_ROUTE_A: to("sni=a.test"),
      }),
    });
    assert.equal(status, byTls ? 0 : 2, err);
    if (!byTls) assert.match(err, /SALLYPORT_ACME_CHALLENGE: the TLS of deno can't show .* expected http-01/);
  });

  it("that can't be had are waited for: refused with a reason, said in /readyz and the log", async () => {
    const { nowhere } = await without();
    const failed = await eventually(
      () => logged(nowhere, notOrdered)[0],
      () => nowhere.errors(),
    );
    assert.deepEqual([failed.name, failed.failures], ["a.test", 1]);
    assert.match(String(failed.problem), /localhost:1|refused/);
    await assert.rejects(dial(site, nowhere.port, "a.test", { as: null }));
    const record = await nowhere.record(({ sni }) => sni === "a.test");
    assert.deepEqual([record.outcome, record.reason], ["refused", "unknown_name"]);
    assert.match(record.detail ?? "", /no certificate/);
    const ready = await fetch(`http://127.0.0.1:${nowhere.adminPort}/readyz`);
    // A balancer must go on sending it connections, or nobody could validate it.
    assert.deepEqual([ready.status, await ready.text()], [200, "ready\nno certificate yet for a.test\n"]);
    await nowhere.stop();
  });

  it("that an authority refuses are tried again later, and at once when somebody says so", async () => {
    const { wrong, folder } = await without();
    const tried = (n: number) =>
      eventually(
        () => logged(wrong, notOrdered)[n - 1],
        () => wrong.errors(),
      );
    const failed = await tried(1);
    assert.match(String(failed.problem), /^[a-z]+: .*127\.0\.0\.1/, "in its own words");
    const waits = Date.parse(String(failed.again)) - Date.parse(String(failed.time));
    assert.ok(waits > 299_000 && waits < 331_000, `${waits} ms`);
    const metrics = await admin(wrong, "/metrics");
    assert.match(metrics, /sallyport_acme_orders_total\{name="a.test",result="failed"\} 1/);
    assert.deepEqual(readdirSync(join(kept(folder), "challenges", challenge)), []);
    rmSync(join(kept(folder), "failures", "a.test.json"));
    await tried(2);
    await wrong.stop();
  });

  it("are validated over HTTP where that is asked for, for accounts that are bound, once by several workers", async () => {
    const { router, port, root } = await workers();
    await served(router, "a.test", root);
    assert.deepEqual(
      logged(router, ordered).map(({ name }) => name),
      ["a.test"],
    );
    assert.equal(await admin(router, "/readyz"), "ready\n");
    const path = "/.well-known/acme-challenge/..%2f..%2faccount.key";
    const none = await fetch(`http://127.0.0.1:${port}${path}`);
    assert.equal(none.status, 404);
    await none.body?.cancel();
    assert.ok(!router.errors().includes(macKey));
    await router.stop();
  });
});
