import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import type { TLSSocket } from "node:tls";
import { parseEnv } from "node:util";
import { dial, firstBytes } from "../support/client.ts";
import { hourMs, leaf, name, pem, root } from "../support/crafted-certificates.ts";
import { crl, crlPem } from "../support/crafted-crl.ts";
import { missing } from "../support/programs.ts";
import { createSite, runtimeName, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { block, StateServer, settled, startTcpBalancer } from "../support/state.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

const tcp = { ALPNProtocols: ["sallyport-tcp"] };

describe("routers of several machines", { skip: missing("redis-server", "haproxy") }, () => {
  const anchor = root({ notAfter: Date.now() + 365 * 24 * hourMs });
  let site: Site;
  let redis: StateServer;
  let upstream: Upstream;
  let routers: TestRouter[] = [];
  let port = 0;
  let serials = 0x20;

  const path = (file: string): string => `${site.folder}/${file}`;

  /** A client of an authority that has revocation lists; gives its serial number. */
  function client(who: string): string {
    const serial = (++serials).toString(16);
    const holder = leaf(anchor, { serial, subject: name(["CN", who]), notAfter: Date.now() + hourMs });
    const key = holder.keys.privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    site.save(who, { cert: pem(holder.der), key });
    return serial;
  }

  const list = (number: number, ...revoked: string[]): string =>
    crlPem(crl(anchor, { number, revoked, thisUpdate: Date.now() - hourMs + number * 1000 }));

  /** The guide's variables, for what is here. */
  const shared = (): Record<string, string> => ({
    ...(parseEnv(block("several-machines.md", "sh", "SALLYPORT_STATE_URL")) as Record<string, string>),
    SALLYPORT_STATE_URL: `rediss://sallyport:PASSWORD@localhost:${redis.port}/0`,
    SALLYPORT_STATE_CA: path("ca.crt"),
    SALLYPORT_STATE_SECRET: path("state-secret"),
  });

  const start = (which: number, more: Record<string, string> = {}): Promise<TestRouter> =>
    startRouter(site, {
      SALLYPORT_PROXY_PROTOCOL: "optional",
      SALLYPORT_PROXY_PROTOCOL_FROM: "127.0.0.0/8",
      SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test`,
      SALLYPORT_ROUTE_LISTED: `tcp://127.0.0.1:${upstream.port}?sni=listed.test&client_ca=${path("listed.crt")}&crl=${path(`list-${which}.crl`)}`,
      SALLYPORT_ROUTE_B: `tcp://127.0.0.1:${upstream.port}?sni=b.test`,
      SALLYPORT_ROUTE_FULL: `tcp://127.0.0.1:${upstream.port}?sni=full.test&max_connections=4`,
      SALLYPORT_MAX_CONNECTIONS_PER_IDENTITY: "6",
      SALLYPORT_DENY: path(`deny-${which}`),
      ...shared(),
      ...more,
    });

  async function opened(at: number, sni = "a.test", as = "alice", more = {}): Promise<TLSSocket> {
    const socket = await dial(site, at, sni, { ...tcp, as, ...more });
    socket.write("hello");
    assert.equal((await firstBytes(socket))?.toString(), "hello");
    return socket;
  }
  const refused = async (at: number, sni: string, as: string): Promise<boolean> => {
    try {
      (await opened(at, sni, as)).destroy();
      return false;
    } catch {
      return true;
    }
  };
  const closed = (socket: TLSSocket): Promise<boolean> =>
    settled(() => socket.destroyed || socket.readableEnded).then(() => true);
  const get = async (router: TestRouter, what: string): Promise<readonly [number, string]> => {
    const response = await fetch(`http://127.0.0.1:${router.adminPort}${what}`);
    return [response.status, await response.text()];
  };
  /** Nobody is connected any more. */
  const idle = (): Promise<void> =>
    settled(async () =>
      (await Promise.all(routers.map((one) => get(one, "/metrics")))).every(
        ([, text]) => !/^sallyport_connections_active\{route="(?:a|full)"\} [1-9]/m.test(text),
      ),
    );
  const up = async (): Promise<boolean> =>
    (await Promise.all(routers.map((one) => get(one, "/metrics")))).every(([, text]) =>
      text.includes("\nsallyport_state_up 1\n"),
    );

  before(async () => {
    site = await createSite(["localhost", "a.test", "b.test", "full.test", "listed.test"]);
    site.save("bob", await site.authority.client({ commonName: "bob" }, 86_400_000));
    writeFileSync(path("listed.crt"), pem(anchor.der));
    writeFileSync(path("state-secret"), `${Buffer.alloc(32, 5).toString("base64")}\n`, { mode: 0o600 });
    writeFileSync(path("users.acl"), `user default off\n${block("several-machines.md", "acl")}`);
    for (const which of [1, 2, 3]) {
      writeFileSync(path(`deny-${which}`), "# nobody\n");
      writeFileSync(path(`list-${which}.crl`), list(1));
    }
    redis = await StateServer.start(site, { tls: true, more: ["--aclfile", path("users.acl")] });
    upstream = await tcpUpstream(echo);
    routers = await Promise.all([start(1), start(2)]);
    port = (await startTcpBalancer(site, routers)).port;
    await settled(up);
  });
  after(async () => {
    await Promise.all(routers.map((router) => router.stop()));
    redis?.stop();
    upstream?.close();
    site?.remove();
  });

  it("are ready, and say what they share", async () => {
    for (const router of routers) {
      assert.deepEqual(await get(router, "/readyz"), [200, "ready\n"]);
      assert.deepEqual(await get(router, "/readyz?verbose"), [200, "ready\nstate: connected\n"]);
    }
    // The balancer deals out connections, and may have thought one away, or both, while it started.
    await settled(async () => {
      if (await refused(port, "a.test", "alice")) return false;
      return routers.every((router) => router.records().some(({ route }) => route === "a"));
    });
  });

  it("whom one router's file denies every other refuses, and open connections end there", async () => {
    const [first, second] = routers as [TestRouter, TestRouter];
    const open = await opened(second.port);
    const { localPort } = open;
    const { serialNumber: serial } = new X509Certificate(readFileSync(path("alice.crt")));
    writeFileSync(path("deny-1"), `${serial} # alice\n`);
    await closed(open);
    const { reason } = await second.record((one) => one.source.endsWith(`:${localPort}`));
    assert.equal(reason, "client_cert_revoked");
    assert.ok(await refused(second.port, "a.test", "alice"));
    writeFileSync(path("deny-1"), "# nobody\n");
    await settled(async () => !(await refused(second.port, "a.test", "alice")));
    (await opened(first.port)).destroy();
  });

  it("a list that one router read counts at every other, and ends what is open there", async () => {
    const [, second] = routers as [TestRouter, TestRouter];
    const serial = client("carol");
    const open = await opened(second.port, "listed.test", "carol");
    writeFileSync(path("list-1.crl"), list(2, serial));
    await closed(open);
    assert.ok(await refused(second.port, "listed.test", "carol"));
  });

  it("caps on routes and identities hold for all of them together", async () => {
    const [first, second] = routers as [TestRouter, TestRouter];
    const full = [];
    for (const { port: at } of [first, second, first, second]) full.push(await opened(at, "full.test"));
    for (const router of [first, second]) {
      const from = router.now();
      assert.ok(await refused(router.port, "full.test", "alice"));
      const { detail, reason } = await router.record(({ route }) => route === "full", from);
      assert.deepEqual([reason, detail], ["limit_reached", "4 connections are open on route full"]);
    }
    const more = [await opened(first.port), await opened(second.port)];
    assert.ok(await refused(first.port, "a.test", "alice"));
    full.pop()?.destroy();
    // What one has given back another may have.
    await settled(async () => !(await refused(first.port, "full.test", "alice")));
    for (const socket of [...full, ...more]) socket.destroy();
    await idle();
  });

  it("a session of one is resumed at another where ticket keys can be set, at the same route alone", async () => {
    const [first, second] = routers as [TestRouter, TestRouter];
    const begun = await opened(first.port, "a.test", "alice", { maxVersion: "TLSv1.2" });
    const session = begun.getSession();
    assert.ok(session !== undefined);
    begun.destroy();
    const again = async (sni: string): Promise<boolean> => {
      const socket = await opened(second.port, sni, "alice", { maxVersion: "TLSv1.2", session });
      const resumed = socket.isSessionReused();
      socket.destroy();
      return resumed;
    };
    assert.equal(await again("a.test"), runtimeName.startsWith("node"));
    assert.equal(await again("b.test"), false);
  });

  it("without Redis they go on and say so; who was denied stays denied; and they catch up", async () => {
    const [first, second] = routers as [TestRouter, TestRouter];
    const [dave, erin] = [client("dave"), client("erin")];
    writeFileSync(path("deny-1"), `${dave}\n`);
    await settled(() => refused(second.port, "listed.test", "dave"));
    redis.kill();
    await settled(async () => (await get(first, "/readyz"))[1].startsWith("ready\nstate: away for "));
    await settled(async () => (await get(second, "/metrics"))[1].includes("\nsallyport_state_up 0\n"));
    assert.equal((await get(first, "/readyz"))[0], 200);
    assert.ok(await refused(second.port, "listed.test", "dave"));
    (await opened(port)).destroy();
    const open = await opened(second.port, "listed.test", "erin");
    // Each counts for itself now.
    const places = [];
    for (const { port: at } of [first, second, first, second, first, second, first, second])
      places.push(await opened(at, "full.test", "alice"));
    assert.ok(await refused(first.port, "full.test", "alice"));
    writeFileSync(path("deny-1"), `${dave}\n${erin}\n`);
    await settled(() => refused(first.port, "listed.test", "erin"));
    // One that starts now knows nothing of the others' denials: it is not ready, and lets nobody in.
    const third = await start(3);
    assert.deepEqual(await get(third, "/readyz").then(([status, text]) => [status, text.split("\n")[0]]), [
      503,
      "the shared state was never read",
    ]);
    assert.ok(await refused(third.port, "a.test", "alice"));
    const { detail } = await third.record(({ reason }) => reason === "client_cert_untrusted");
    assert.match(detail ?? "", /the state that routers share was never read/);
    await redis.revive();
    await closed(open);
    await settled(up);
    for (const place of places) place.destroy();
    await idle();
    await settled(async () => (await get(third, "/readyz"))[0] === 200);
    assert.ok(await refused(third.port, "listed.test", "dave"));
    assert.ok(await refused(third.port, "listed.test", "erin"));
    (await opened(third.port)).destroy();
    for (const router of [first, third]) assert.ok(!router.errors().includes("PASSWORD"));
    await third.stop();
  });

  it("one that is killed leaves the others serving, and its places are free soon", async () => {
    const [first, second] = routers as [TestRouter, TestRouter];
    const places: TLSSocket[] = [];
    for (const { port: at } of [first, second, first, first])
      await settled(async () => {
        // Once those of before are gone.
        const place = await opened(at, "full.test").catch(() => null);
        if (place !== null) places.push(place);
        return place !== null;
      });
    await first.stop();
    for (let i = 0; i < 3; i++) (await opened(port, "a.test", "bob")).destroy();
    assert.ok(await refused(second.port, "full.test", "alice"));
    await settled(async () => !(await refused(second.port, "full.test", "alice")));
    for (const place of places) place.destroy();
  });
});
