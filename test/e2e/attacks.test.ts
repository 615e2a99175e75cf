import assert from "node:assert/strict";
import { createHash, createPrivateKey } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { certificatesFromPem } from "../../src/authority/pem.ts";
import { impersonate } from "../../src/self-test/impostor.ts";
import { dial, dialTcp, firstBytes, readAll } from "../support/client.ts";
import { clientHello, records } from "../support/client-hello.ts";
import {
  Authority,
  createAuthority,
  dayMs,
  type Entity,
  ExtendedKeyUsage,
  KeyUsageFlags,
  make,
} from "../support/pki.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

const names = ["localhost", "a.test", "b.test", "c.test", "alice.test"];
let site: Site;
let router: TestRouter;
let upstream: Upstream;
let issuer: Entity;

/** The authority of the site, as something that makes bad certificates too. */
async function badIssuer(): Promise<Entity> {
  const keys = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, [
    "sign",
    "verify",
  ]);
  return make({
    subject: "CN=Second root",
    keys,
    basicConstraints: { ca: true },
    keyUsage: KeyUsageFlags.keyCertSign,
    purposes: null,
  });
}

before(async () => {
  site = await createSite(names);
  upstream = await tcpUpstream(echo);
  issuer = await badIssuer();
  const anchors = `${readFileSync(`${site.folder}/ca.crt`, "utf8")}\n${issuer.cert}`;
  site.save("anchors", { cert: anchors, key: "" });
  const to = `tcp://127.0.0.1:${upstream.port}`;
  router = await startRouter(site, {
    SALLYPORT_CLIENT_CA: `${site.folder}/anchors.crt`,
    SALLYPORT_HANDSHAKE_TIMEOUT: "5s",
    SALLYPORT_MAX_CONNECTIONS_PER_IDENTITY: "3",
    SALLYPORT_ROUTE_A: `${to}?sni=a.test`,
    SALLYPORT_ROUTE_B: `${to}?sni=b.test`,
    SALLYPORT_ROUTE_C:
      `${to}?sni=c.test&client_ca=${encodeURIComponent(`${site.folder}/other-ca.crt`)}`.replace(
        "other-ca.crt",
        "anchors.crt",
      ),
    SALLYPORT_ROUTE_ALICE: `${to}?sni=alice.test&allow=cn:alice,group:kitchen&allow=group:pay*`,
  });
});
after(async () => {
  await router?.stop();
  upstream?.close();
  site?.remove();
});

/** What gets through to the echo and back; `null` when the router closes first. */
async function heard(socket: TLSSocket): Promise<string | null> {
  socket.write("hello");
  const answer = await firstBytes(socket);
  socket.destroy();
  return answer?.toString() ?? null;
}

const attempt = async (as: string | null, name = "a.test", more = {}): Promise<string | null> => {
  try {
    return await heard(await dial(site, router.port, name, { as, ...more }));
  } catch {
    return null;
  }
};

/** A good client next to whatever else goes on. */
const goodClientIsServed = async (): Promise<void> => assert.equal(await attempt("alice"), "hello");

describe("who must not get in", () => {
  const cases: [string, string, () => Promise<{ cert: string; key: string }>][] = [
    [
      "another authority's",
      "client_cert_untrusted",
      async () =>
        (await Authority.open(await createAuthority("Test"))).client({ commonName: "alice" }, dayMs),
    ],
    [
      "an expired",
      "client_cert_expired",
      () => site.authority.client({ commonName: "alice" }, dayMs, Date.now() - 3 * dayMs),
    ],
    [
      "a not yet valid",
      "client_cert_expired",
      () => make({ issuer, notBefore: Date.now() + dayMs, notAfter: Date.now() + 2 * dayMs }),
    ],
    [
      "a serverAuth-only",
      "client_cert_unfit",
      () => make({ issuer, purposes: [ExtendedKeyUsage.serverAuth] }),
    ],
    [
      "an authority's own",
      "client_cert_unfit",
      () =>
        make({
          issuer,
          basicConstraints: { ca: true },
          keyUsage: KeyUsageFlags.keyCertSign | KeyUsageFlags.digitalSignature,
        }),
    ],
    ["a purposeless", "client_cert_unfit", () => make({ issuer, purposes: null })],
    ["a self-signed", "client_cert_untrusted", () => make({})],
  ];
  for (const [what, reason, certificate] of cases) {
    for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
      it(`${what} certificate is refused, ${maxVersion}`, async () => {
        site.save("bad", await certificate());
        const from = router.now();
        assert.equal(await attempt("bad", "a.test", { maxVersion }), null);
        // The good client of the test before may still be on its way out.
        const record = await router.record((one) => one.route === "a" && one.outcome !== "served", from);
        assert.deepEqual([record.outcome, record.reason], ["refused", reason], record.detail ?? "");
        await goodClientIsServed();
      });
    }
  }

  it("no certificate is refused", async () => {
    const from = router.now();
    assert.equal(await attempt(null), null);
    await router.record((one) => one.reason === "client_cert_missing" && one.outcome === "refused", from);
  });

  it("a leaf that issues a certificate to a friend is no authority", async () => {
    const leaf = await make({ issuer, subject: "CN=leaf" });
    const friend = await make({ issuer: leaf, subject: "CN=friend" });
    site.save("bad", { cert: friend.cert + leaf.cert, key: friend.key });
    const from = router.now();
    assert.equal(await attempt("bad"), null);
    await router.record((one) => one.reason === "client_cert_unfit", from);
  });

  it("a good certificate with another's key is refused, TLS 1.3", async () => {
    const chain = certificatesFromPem(readFileSync(`${site.folder}/alice.crt`, "utf8"));
    const other = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, [
      "sign",
      "verify",
    ]);
    const from = router.now();
    const socket = await dialTcp(router.port);
    assert.equal(
      await impersonate(streamOf(socket), { serverName: "a.test", chain, key: other.privateKey }),
      "refused",
    );
    socket.destroy();
    const record = await router.record((one) => one.outcome !== "served", from);
    assert.deepEqual([record.outcome, record.reason], ["refused", "handshake_failed"]);
  });

  it("a good certificate with another's key is refused, TLS 1.2", async () => {
    // A SEC 1 key may carry a public half (RFC 5915): the certificate's, beside a private half that is not its own.
    const victim = createPrivateKey(readFileSync(`${site.folder}/alice.key`)).export({ format: "jwk" });
    const bytes = (text: string | undefined): number[] => [...Buffer.from(text ?? "", "base64url")];
    const scalar = createHash("sha256").update("somebody else's").digest();
    const curve = [0xa0, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    const body = [
      2,
      1,
      1,
      4,
      32,
      ...scalar,
      ...curve,
      0xa1,
      68,
      3,
      66,
      0,
      4,
      ...bytes(victim.x),
      ...bytes(victim.y),
    ];
    const der = Buffer.from(
      [0x30, body.length, ...body].length > 129
        ? [0x30, 0x81, body.length, ...body]
        : [0x30, body.length, ...body],
    );
    const key = `-----BEGIN EC PRIVATE KEY-----\n${der.toString("base64").replace(/(.{64})/g, "$1\n")}\n-----END EC PRIVATE KEY-----\n`;
    site.save("stolen", { cert: readFileSync(`${site.folder}/alice.crt`, "utf8"), key });
    const from = router.now();
    assert.equal(await attempt("stolen", "a.test", { maxVersion: "TLSv1.2" }), null);
    const record = await router.record((one) => one.outcome !== "served", from);
    assert.deepEqual([record.outcome, record.reason], ["refused", "handshake_failed"]);
  });

  it("a handshake that can't be agreed on ends in an alert", async () => {
    await assert.rejects(
      dial(site, router.port, "a.test", { maxVersion: "TLSv1.2", ciphers: "AES128-SHA:@SECLEVEL=0" }),
      /alert handshake failure/,
    );
  });

  it("who no rule admits is refused, who one admits is served", async () => {
    site.save("bob", await site.authority.client({ commonName: "bob", groups: ["kitchen"] }, dayMs));
    const from = router.now();
    assert.equal(await attempt("bob", "alice.test"), null);
    const record = await router.record((one) => one.reason === "identity_not_allowed", from);
    assert.equal(record.identity?.subject, "CN=bob,OU=kitchen");
    assert.equal(await attempt("alice", "alice.test"), "hello");
  });

  it("one identity has so many connections and no more", async () => {
    const open = await Promise.all([1, 2, 3].map(() => dial(site, router.port, "a.test")));
    for (const socket of open) {
      socket.write("x");
      await firstBytes(socket);
    }
    const from = router.now();
    assert.equal(await attempt("alice"), null);
    await router.record((one) => one.reason === "limit_reached", from);
    const ports = open.map(({ localPort }) => localPort);
    for (const socket of open) socket.destroy();
    for (const port of ports)
      await router.record((one) => one.outcome === "served" && one.source === `127.0.0.1:${port}`);
  });
});

function streamOf(socket: Socket) {
  const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  return {
    read: async () => {
      try {
        const { done, value } = await chunks.next();
        return done === true ? null : new Uint8Array(value);
      } catch {
        return null;
      }
    },
    write: async (bytes: Uint8Array) => void socket.write(bytes),
  };
}

/** A session with the router, and whether the second connection resumed it. */
async function resume(
  first: string,
  second: string,
  version: "TLSv1.2" | "TLSv1.3",
): Promise<{ answer: string | null; resumed: boolean }> {
  const versions = { minVersion: version, maxVersion: version };
  const one = await dial(site, router.port, first, versions);
  const session =
    version === "TLSv1.3" ? new Promise<Buffer>((resolve) => one.once("session", resolve)) : null;
  one.write("x");
  await firstBytes(one);
  const ticket = (await session) ?? one.getSession();
  one.destroy();
  assert.ok(ticket !== undefined);
  try {
    // Without a certificate: only a resumed session could bring one.
    const two = await dial(site, router.port, second, { ...versions, as: null, session: ticket });
    const resumed = two.isSessionReused();
    return { answer: await heard(two), resumed };
  } catch {
    return { answer: null, resumed: false };
  }
}

describe("sessions", () => {
  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    it(`resume on their own route, and the identity with them, ${version}`, async () => {
      const from = router.now();
      const { answer, resumed } = await resume("a.test", "a.test", version);
      assert.equal(resumed, true);
      assert.equal(answer, "hello");
      const record = await router.record((one) => one.resumed, from);
      assert.equal(record.identity?.subject, "CN=alice,OU=payments");
    });

    it(`are worth nothing on another route, ${version}`, async () => {
      for (const other of ["b.test", "c.test"]) {
        const from = router.now();
        const { answer, resumed } = await resume("a.test", other, version);
        assert.equal(answer, null);
        assert.equal(resumed, false);
        const record = await router.record((one) => one.sni === other, from);
        assert.equal(record.outcome, "refused");
      }
    });

    it(`do not outlive the certificate, ${version}`, async () => {
      const over = Date.now() + 6000;
      site.save("brief", await site.authority.client({ commonName: "brief" }, 6000));
      const versions = { minVersion: version, maxVersion: version, as: "brief" };
      const one = await dial(site, router.port, "a.test", versions);
      const session =
        version === "TLSv1.3" ? new Promise<Buffer>((resolve) => one.once("session", resolve)) : null;
      one.write("x");
      await firstBytes(one);
      const ticket = (await session) ?? one.getSession();
      assert.ok(ticket !== undefined);
      one.destroy();
      // A certificate says when it ends in whole seconds.
      await new Promise((resolve) => setTimeout(resolve, over + 1500 - Date.now()));
      const from = router.now();
      assert.equal(
        await attempt(null, "a.test", { minVersion: version, maxVersion: version, session: ticket }),
        null,
      );
      const record = await router.record((one) => one.route === "a" && one.outcome !== "served", from);
      assert.ok(["client_cert_expired", "client_cert_missing"].includes(record.reason), record.reason);
    });
  }
});

/** What a TLS client says first, byte by byte. */
async function realHello(serverName: string): Promise<Buffer> {
  let heard = (_hello: Buffer): void => {};
  const hello = new Promise<Buffer>((resolve) => {
    heard = resolve;
  });
  const listening = await tcpUpstream((socket) => socket.once("data", heard));
  const client = connect({ host: "127.0.0.1", port: listening.port, servername: serverName });
  client.on("error", () => {});
  await hello;
  client.destroy();
  listening.close();
  return hello;
}

describe("what is thrown at the port", () => {
  it("a hello cut at every byte does no harm", async () => {
    const hello = records(clientHello({ serverName: "a.test", alpn: ["sallyport-tcp"] }));
    for (let cut = 0; cut < hello.length; cut++) {
      const socket = await dialTcp(router.port);
      socket.end(hello.subarray(0, cut));
      await readAll(socket);
    }
    await goodClientIsServed();
  });

  it("a hello and then nothing is forgotten, however the client went away", async () => {
    const hello = await realHello("b.test");
    const from = router.now();
    const leave: ((socket: Socket) => void)[] = [
      (socket) => socket.end(),
      (socket) => socket.destroy(),
      (socket) => socket.once("data", () => socket.resetAndDestroy()),
    ];
    for (const how of leave) {
      for (let i = 0; i < 5; i++) {
        const socket = await dialTcp(router.port);
        socket.write(hello, () => how(socket));
      }
    }
    const over = (): number => router.records(from).filter(({ sni }) => sni === "b.test").length;
    for (let i = 0; i < 2400 && over() < 15; i++) await new Promise((resolve) => setTimeout(resolve, 25));
    assert.equal(over(), 15);
    const metrics = await (await fetch(`http://127.0.0.1:${router.adminPort}/metrics`)).text();
    assert.match(metrics, /^sallyport_connections_active\{route="b"\} 0$/m);
    await goodClientIsServed();
  });

  it("connections that are reset at once hold up nobody", async () => {
    for (let i = 0; i < 4; i++) {
      const crowd = await Promise.all(Array.from({ length: 50 }, () => dialTcp(router.port)));
      for (const socket of crowd) socket.resetAndDestroy();
    }
    await goodClientIsServed();
    assert.ok(!router.errors().includes("accepting failed"), "nobody backed off for them");
  });

  it("random bytes do no harm", async () => {
    const from = router.now();
    await Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const socket = await dialTcp(router.port);
        const bytes = createHash("sha512").update(`random ${i}`).digest();
        if (i % 2 === 0) bytes[0] = 22;
        if (i % 4 === 0) bytes.set([22, 3, 1, 0, 40], 0);
        socket.end(bytes);
        await readAll(socket);
      }),
    );
    await goodClientIsServed();
    for (const reason of ["not_tls", "bad_client_hello"]) {
      await router.record((one) => one.reason === reason, from);
    }
  });

  it("a PROXY header from nowhere is junk", async () => {
    const from = router.now();
    const socket = await dialTcp(router.port);
    socket.write("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n");
    socket.write(records(clientHello({ serverName: "a.test" })));
    assert.equal((await readAll(socket)).length, 0);
    const record = await router.record((one) => one.reason === "not_tls", from);
    assert.match(record.source, /^127\.0\.0\.1:/);
  });

  it("those who say nothing are cut off in time", async () => {
    const from = router.now();
    const socket = await dialTcp(router.port);
    socket.write(Uint8Array.of(22, 3, 1));
    await readAll(socket);
    await router.record((one) => one.reason === "handshake_timeout", from);
  });
});

describe("a crowd of half-open connections", () => {
  it("does not keep a good client out, even where the caps are full", async () => {
    const small = await startRouter(site, {
      SALLYPORT_MAX_CONNECTIONS: "200",
      SALLYPORT_MAX_CONNECTIONS_PER_SOURCE: "150",
      SALLYPORT_HANDSHAKE_TIMEOUT: "30s",
      SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test`,
    });
    const crowd = await Promise.all(Array.from({ length: 400 }, () => dialTcp(small.port)));
    assert.equal(await heard(await dial(site, small.port, "a.test")), "hello");
    await small.record((one) => one.reason === "limit_reached");
    for (const socket of crowd) socket.destroy();
    await small.stop();
  });

  it("of ten thousand leaves room for one more", async () => {
    const large = await startRouter(site, {
      SALLYPORT_MAX_CONNECTIONS_PER_SOURCE: "10000",
      SALLYPORT_HANDSHAKE_TIMEOUT: "60s",
      SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test`,
    });
    const crowd: Socket[] = [];
    for (let i = 0; i < 100; i++)
      crowd.push(...(await Promise.all(Array.from({ length: 100 }, () => dialTcp(large.port)))));
    for (let i = 0; i < 5; i++) assert.equal(await heard(await dial(site, large.port, "a.test")), "hello");
    for (const socket of crowd) socket.destroy();
    await large.stop();
  });

  it("does not use up the files that the process may open", async (test) => {
    const few = await startRouter(
      site,
      {
        SALLYPORT_HANDSHAKE_TIMEOUT: "60s",
        SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test`,
      },
      { through: ["prlimit", "--nofile=256:256"] },
    );
    test.after(() => few.stop());
    assert.match(few.errors(), /raise its limit/);
    const before = await dial(site, few.port, "a.test");
    before.write("one");
    assert.equal((await firstBytes(before))?.toString(), "one");
    const crowd = await Promise.all(Array.from({ length: 400 }, () => dialTcp(few.port)));
    const most = (): boolean => few.records().filter((one) => one.reason === "limit_reached").length > 200;
    await few.record(most);
    before.write("two");
    assert.equal((await firstBytes(before))?.toString(), "two");
    assert.equal(await heard(await dial(site, few.port, "a.test")), "hello");
    // What stays open is what was counted on: files are left for everything else.
    const open = readdirSync(`/proc/${few.process.pid}/fd`).length;
    assert.ok(open < 224, `${open} files are open`);
    for (const socket of crowd) socket.destroy();
  });
});
