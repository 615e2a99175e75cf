import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { TLSSocket } from "node:tls";
import { schemes } from "../../src/adapters/registry.ts";
import { certificatesFromPem } from "../../src/authority/pem.ts";
import { loadConfig } from "../../src/config/load.ts";
import type { ForwardedRecord } from "../../src/core/record.ts";
import { Refusal } from "../../src/errors.ts";
import { createClientVerifier } from "../../src/identity/verifier.ts";
import { silentLog } from "../../src/observe/log.ts";
import { OtherRouters } from "../../src/peer/routers.ts";
import { encodePeerRequest } from "../../src/peer/wire.ts";
import { files } from "../../src/runtime/files.ts";
import { selectRuntime } from "../../src/runtime/select.ts";
import { receive } from "../../src/tunnel/exchange.ts";
import { TunnelSession } from "../../src/tunnel/session.ts";
import { type Answer, encodeAnswer, parseAnswer } from "../../src/tunnel/wire.ts";
import type { Runtime } from "../../src/types.ts";
import { agentHere } from "../support/agents.ts";
import { atEnd } from "../support/at-end.ts";
import { dial, firstBytes } from "../support/client.ts";
import { amongPeers, comeAsRouter, peerSite } from "../support/peers.ts";
import { Authority, createAuthority } from "../support/pki.ts";
import { type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, tcpUpstream, tlsUpstream } from "../support/upstreams.ts";

const dayMs = 86_400_000;
const target = { agent: "edge-1", service: "echo", connection: "c-1", withinMs: 5000, asking: null };

let site: Site;
let a: TestRouter;
let runtime: Runtime;

before(async () => {
  runtime = await selectRuntime();
  site = await peerSite(["a", "b", "c", "limited"], ["edge-1"], []);
  const { authority } = site;
  const routers = { groups: ["routers"] };
  site.save(
    "client-only",
    await authority.client({ commonName: "x", ...routers, dnsNames: ["localhost"] }, dayMs),
  );
  site.save("elsewhere", await authority.router({ commonName: "x", ...routers }, "other.example.com", dayMs));
  site.save("not-one", await authority.router({ commonName: "x", groups: [] }, "localhost", dayMs));
  const stranger = await Authority.open(await createAuthority("Stranger"));
  site.save("stranger", await stranger.router({ commonName: "a", ...routers }, "localhost", dayMs));
  a = await startRouter(
    site,
    amongPeers(site, "a", {
      SALLYPORT_TUNNEL_ALLOW: "*=group:edge",
      SALLYPORT_ROUTE_ECHO: "tcp://echo?sni=localhost&via=edge-1",
    }),
  );
  const { port } = await tcpUpstream(echo);
  const agent = await agentHere(site, a.port, "edge-1", "edge-1", { echo: { host: "127.0.0.1", port } });
  await agent.until(/^connected/);
});
after(async () => {
  await a?.stop();
  site?.remove();
});

/** Another router in this process, which has heard that the agent is at these addresses. */
function router(name: string, ...heard: readonly string[]): OtherRouters {
  const env = {
    SALLYPORT_CERT: `${site.folder}/server.crt`,
    SALLYPORT_KEY: `${site.folder}/server.key`,
    SALLYPORT_CLIENT_CA: `${site.folder}/ca.crt`,
    ...amongPeers(site, name),
  };
  const route =
    loadConfig(env, schemes, files).table.routes.find(({ adapter }) => adapter === "peer") ?? null;
  assert.ok(route);
  const verifier = createClientVerifier(route.anchors.flatMap(certificatesFromPem));
  const places = heard.map((address) => ({ address }));
  const others = new OtherRouters({
    runtime,
    verifierFor: () => verifier,
    whereabouts: { routersWith: () => places, routers: () => places },
    route: () => route,
    log: silentLog,
  });
  atEnd(() => others.close());
  return others;
}

const refusedWith = (reason: string, words: RegExp) => (error: unknown) =>
  error instanceof Refusal && error.reason === reason && words.test(error.message);

describe("whoever comes as a router and is none", () => {
  for (const [as, reason, words] of [
    ["alice", "identity_not_allowed", /no allow rule of route sallyport-peer admits CN=alice/],
    ["not-one", "identity_not_allowed", /no allow rule of route sallyport-peer admits/],
    ["client-only", "client_cert_unfit", /no router has such a certificate: it is not for serverAuth/],
    ["elsewhere", "client_cert_unfit", /no router has such a certificate: it is not for localhost/],
    ["stranger", "client_cert_untrusted", /./],
  ] as const)
    it(`is told so, and recorded, with the certificate of ${as}`, async () => {
      const from = a.now();
      const { socket, refused } = await comeAsRouter(site, a.port, as);
      assert.match(refused ?? "", new RegExp(`^${reason}: `));
      assert.match(refused ?? "", words);
      socket.end();
      const record = await a.record((one) => one.route === "sallyport-peer", from);
      assert.deepEqual([record.outcome, record.reason, record.adapter], ["refused", reason, "peer"]);
    });

  it("gets nothing without a certificate", async () => {
    const from = a.now();
    const options = { as: null, ALPNProtocols: ["sallyport-peer"] };
    const said = await dial(site, a.port, "localhost", options).then(firstBytes, () => null);
    assert.ok(said === null || /client_cert_missing/.test(said.toString()));
    const record = await a.record((one) => one.route === "sallyport-peer", from);
    assert.equal(record.reason, "client_cert_missing");
  });
});

describe("a router", () => {
  /** As another router, by hand. */
  async function asked(request: Uint8Array): Promise<Answer> {
    const connection = await runtime.dial({
      host: "127.0.0.1",
      port: a.port,
      withinMs: 5000,
      tls: {
        serverName: "localhost",
        verify: true,
        ca: [files.read(`${site.folder}/ca.crt`)],
        cert: files.read(`${site.folder}/b.crt`),
        key: files.read(`${site.folder}/b.key`),
        alpn: ["sallyport-peer"],
      },
    });
    atEnd(() => connection.abort());
    assert.deepEqual(await receive(connection, parseAnswer, 5000, "it"), { refused: null });
    const session = new TunnelSession(connection, { dialled: true, maxStreams: 10, accept: null });
    const stream = session.open();
    await stream.write(request);
    try {
      return (await receive(stream, parseAnswer, 5000, "it")).refused;
    } finally {
      session.close();
    }
  }

  it("opens what its agents publish, for another router that is one", async () => {
    const stream = await router("b", `127.0.0.1:${a.port}`).open(target);
    assert.ok(stream);
    await stream.write(new TextEncoder().encode("hello"));
    await stream.closeWrite();
    assert.equal(new TextDecoder().decode((await stream.read()) ?? undefined), "hello");
    assert.equal(await stream.read(), null);
  });

  for (const service of ["other", "127.0.0.1:22", "localhost", "../echo", ""])
    it(`does not open ${JSON.stringify(service)}, which is not published`, async () => {
      const refused = await asked(encodePeerRequest({ ask: "open", target: { ...target, service } }));
      assert.equal(refused?.reason, "upstream_refused");
      assert.match(refused?.detail ?? "", /^agent edge-1 publishes no service /);
      const record = await a.record(
        (one) => (one.event as string) === "forwarded" && one.upstream === `edge-1/${service}`,
      );
      assert.deepEqual([record.outcome, record.reason, record.id], ["failed", "upstream_refused", "c-1"]);
      assert.equal((record as unknown as ForwardedRecord).peer, "CN=b,OU=routers");
    });

  it("says of an agent that it does not have that it knows none", async () => {
    const refused = await asked(encodePeerRequest({ ask: "open", target: { ...target, agent: "edge-2" } }));
    assert.equal(refused?.reason, "unknown_agent");
  });

  it("resets a stream on which something else is said", async () => {
    await assert.rejects(asked(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n")));
  });
});

describe("a place that whereabouts were made to say", () => {
  /** A server that is none of ours, and what was said to it inside TLS. */
  async function stranger(
    pair: { readonly cert: string; readonly key: string },
    protocol = "sallyport-peer",
  ): Promise<{ readonly address: string; readonly heard: () => number }> {
    let heard = 0;
    const { port } = await tlsUpstream({ ...pair, ALPNProtocols: [protocol] }, (socket) => {
      (socket as TLSSocket).on("data", (chunk: Buffer) => {
        heard += chunk.length;
      });
      socket.write(encodeAnswer(null));
    });
    return { address: `127.0.0.1:${port}`, heard: () => heard };
  }
  const pairOf = (name: string) => ({
    cert: files.read(`${site.folder}/${name}.crt`),
    key: files.read(`${site.folder}/${name}.key`),
  });

  for (const [name, words] of [
    ["not-one", /no rule of SALLYPORT_PEER_ALLOW admits CN=x/],
    ["server", /no router has such a certificate: it is not for clientAuth/],
    ["stranger", /router 127\.0\.0\.1:\d+: /],
    ["elsewhere", /router 127\.0\.0\.1:\d+: /],
    ["client-only", /router 127\.0\.0\.1:\d+: /],
  ] as const)
    it(`is told nothing where it shows the certificate of ${name}`, async () => {
      const { address, heard } = await stranger(pairOf(name));
      await assert.rejects(router("b", address).open(target), refusedWith("upstream_refused", words));
      assert.equal(heard(), 0);
    });

  it("is told nothing where it has a router's certificate that ran out", async () => {
    const long = Date.now() - 2 * dayMs;
    const old = await site.authority.router(
      { commonName: "a", groups: ["routers"] },
      "localhost",
      dayMs,
      long,
    );
    const { address, heard } = await stranger(old);
    await assert.rejects(router("b", address).open(target), refusedWith("upstream_refused", /./));
    assert.equal(heard(), 0);
  });

  it("is told nothing where it speaks another protocol", async () => {
    const { address, heard } = await stranger(pairOf("c"), "sallyport-tunnel");
    await assert.rejects(router("b", address).open(target), refusedWith("upstream_refused", /./));
    assert.equal(heard(), 0);
    const plain = await tcpUpstream((socket) => socket.end("220 hello\r\n"));
    await assert.rejects(
      router("b", `127.0.0.1:${plain.port}`).open(target),
      refusedWith("upstream_refused", /./),
    );
  });

  it("is dialled only where it is an address", async () => {
    for (const address of ["", "localhost", "/run/redis.sock", "a:b@127.0.0.1:1", "127.0.0.1:0", "[::1:8443"])
      await assert.rejects(
        router("b", address).open(target),
        refusedWith("upstream_unreachable", /is no router's address$/),
      );
  });

  it("does not keep the right one from being found", async () => {
    const { address } = await stranger(pairOf("not-one"));
    const others = router("b", address, "127.0.0.1:1", `127.0.0.1:${a.port}`);
    const stream = await others.open(target);
    assert.ok(stream);
    stream.abort();
    const listed = await others.list();
    assert.deepEqual(
      listed.map(({ name, services, router: at }) => [name, services, at]),
      [["edge-1", ["echo"], `127.0.0.1:${a.port}`]],
    );
  });
});
