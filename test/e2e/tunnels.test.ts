import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { greet } from "../support/agents.ts";
import { dial, firstBytes, readAll } from "../support/client.ts";
import { startAgent, type TestAgent } from "../support/local-proxy.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, httpUpstream, tcpUpstream, tlsUpstream } from "../support/upstreams.ts";

const dayMs = 86_400_000;
const tcp = { ALPNProtocols: ["sallyport-tcp"] };
const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

let site: Site;
let router: TestRouter;
let agent: TestAgent;
/** Of the listener that is for agents alone. */
let tunnelPort = 0;

before(async () => {
  site = await createSite(["localhost", "*.example.com", "*.edge-1.example.com", "*.nowhere.example.com"]);
  const { authority } = site;
  for (const name of ["edge-1", "edge-2", "mallory"])
    site.save(name, await authority.client({ commonName: name, groups: [] }, dayMs));
  const limits = { routes: ["echo"] };
  const person = { commonName: "edge-1", groups: [] };
  site.save("limited", await authority.client(person, dayMs, Date.now(), { limits }));
  const where = async (upstream: Promise<{ readonly port: number }>): Promise<string> =>
    `127.0.0.1:${(await upstream).port}`;
  const services = {
    echo: await where(tcpUpstream(echo)),
    greet: await where(tcpUpstream((socket) => socket.end("welcome"))),
    resets: await where(tcpUpstream((socket: Socket) => socket.once("data", () => socket.resetAndDestroy()))),
    web: await where(
      httpUpstream((request, response) => response.end(`${request.url} of ${request.headers.host}`)),
    ),
    tls: await where(tlsUpstream(await authority.server(["inner.example.com"], dayMs), echo)),
    gone: "127.0.0.1:1",
  };
  router = await startRouter(site, {
    SALLYPORT_LISTENER_MODE: "separate",
    SALLYPORT_PORT_TUNNEL: "0",
    SALLYPORT_TUNNEL_ALLOW: "edge-1=cn:edge-1;edge-2=cn:edge-2",
    SALLYPORT_TUNNEL_MAX_AGENTS: "2",
    SALLYPORT_ROUTE_ECHO: "tcp://echo?sni=echo.example.com&via=edge-1",
    SALLYPORT_ROUTE_ANY: "tcp://{service}?sni={service}.{agent}.example.com&via={agent}",
    SALLYPORT_ROUTE_WEB: "http://web?sni=web.example.com&via=edge-1",
    SALLYPORT_ROUTE_SECURE: `tcp://tls?sni=secure.example.com&via=edge-1&upstream_tls=verify&upstream_sni=inner.example.com&upstream_ca=${site.folder}/ca.crt`,
    SALLYPORT_ROUTE_PROXIED: "tcp://echo?sni=proxied.example.com&via=edge-1&send_proxy=v1",
  });
  tunnelPort = Number(/"tunnel":"127\.0\.0\.1:(\d+)"/.exec(router.errors())?.[1]);
  agent = await startAgent(site, { router: `localhost:${tunnelPort}`, as: "edge-1" }, [
    "--name=edge-1",
    ...Object.entries(services).map(([name, address]) => `--service=${name}=${address}`),
  ]);
});
after(async () => {
  await router?.stop();
  site?.remove();
});

/** What comes back of this. */
async function echoed(name: string, text = "hello"): Promise<string> {
  const socket = await dial(site, router.port, name, tcp);
  socket.end(text);
  return (await readAll(socket)).toString();
}

describe("services that an agent publishes", () => {
  it("are reached whole, both halves apart", async () => {
    const socket = await dial(site, router.port, "echo.example.com", tcp);
    const sent = randomBytes(3_000_000);
    const answer = readAll(socket);
    socket.end(sent);
    assert.equal(sha(await answer), sha(sent));
    const record = await router.record((one) => one.route === "echo");
    assert.deepEqual([record.upstream, record.outcome, record.reason], ["edge-1/echo", "served", "ok"]);
    assert.deepEqual([record.bytes_in, record.bytes_out], [sent.length, sent.length]);
  });

  it("are reached by captures", async () => {
    const socket = await dial(site, router.port, "greet.edge-1.example.com", tcp);
    socket.end();
    assert.equal((await readAll(socket)).toString(), "welcome");
    assert.equal((await router.record((one) => one.route === "any")).upstream, "edge-1/greet");
  });

  it("are reached by HTTP, and by TLS inside the tunnel", async () => {
    const web = await dial(site, router.port, "web.example.com", { ALPNProtocols: ["http/1.1"] });
    web.write("GET /path HTTP/1.1\r\nHost: web.example.com\r\nConnection: close\r\n\r\n");
    assert.match((await readAll(web)).toString(), /\r\n\r\n[\s\S]*\/path of /);
    assert.equal(await echoed("secure.example.com", "inside"), "inside");
    assert.match(await echoed("proxied.example.com"), /^PROXY TCP4 127\.0\.0\.1 .*\r\nhello$/);
  });

  it("are a hundred at once", async () => {
    const many = await Promise.all(
      Array.from({ length: 100 }, (_, i) => echoed("echo.example.com", `number ${i}`)),
    );
    assert.deepEqual(
      many,
      many.map((_, i) => `number ${i}`),
    );
  });

  it("don't wait for one that nobody reads", async () => {
    const stuck = await dial(site, router.port, "echo.example.com", tcp);
    stuck.write(randomBytes(8_000_000));
    const sent = randomBytes(2_000_000);
    const socket = await dial(site, router.port, "echo.example.com", tcp);
    const answer = readAll(socket);
    socket.end(sent);
    assert.equal(sha(await answer), sha(sent));
    stuck.destroy();
  });

  for (const [name, reason, detail] of [
    ["gone.edge-1", "upstream_unreachable", /service gone: it can't be dialled$/],
    ["other.edge-1", "upstream_refused", /agent edge-1 publishes no service other/],
    ["echo.nowhere", "upstream_unreachable", /no agent nowhere is connected/],
  ] as const)
    it(`say in the record why ${name} was not reached`, async () => {
      const from = router.now();
      const socket = await dial(site, router.port, `${name}.example.com`, tcp);
      assert.equal(await firstBytes(socket), null);
      const record = await router.record((one) => one.sni === `${name}.example.com`, from);
      assert.deepEqual([record.outcome, record.reason], ["failed", reason]);
      assert.match(record.detail ?? "", detail);
      assert.doesNotMatch(record.detail ?? "", /127\.0\.0\.1/);
    });

  it("are counted", async () => {
    const response = await fetch(`http://127.0.0.1:${router.adminPort}/metrics`);
    assert.match(await response.text(), /^sallyport_tunnel_agents 1$/m);
  });

  it("cut their streams when the upstream resets", async () => {
    const socket = await dial(site, router.port, "resets.edge-1.example.com", tcp);
    socket.write("x");
    await readAll(socket);
    const record = await router.record((one) => one.upstream === "edge-1/resets");
    assert.equal(record.reason, "upstream_refused");
  });
});

describe("who may publish", () => {
  for (const [as, name, words] of [
    ["edge-2", "edge-1", /^CN=edge-2 may not publish agent edge-1$/],
    ["mallory", "edge-1", /^no allow rule of route sallyport-tunnel admits CN=mallory$/],
    ["edge-1", "edge-3", /^CN=edge-1 may not publish agent edge-3$/],
    ["limited", "edge-1", /its certificate is for the routes echo alone/],
  ] as const)
    it(`not ${name} with the certificate of ${as}`, async () => {
      const from = router.now();
      const { answer, socket } = await greet(site, router.port, as, name);
      assert.equal(answer?.reason, "identity_not_allowed");
      assert.match(answer?.detail ?? "", words);
      const record = await router.record((one) => one.adapter === "tunnel", from);
      assert.deepEqual([record.outcome, record.reason], ["refused", "identity_not_allowed"]);
      assert.match(record.detail ?? "", words);
      // Whom no rule names at all is not even heard.
      assert.equal(record.agent?.name, as === "mallory" ? undefined : name);
      socket.destroy();
    });

  it("not more than there is room for", async () => {
    const from = router.now();
    const first = await greet(site, router.port, "edge-2", "edge-2");
    assert.equal(first.answer, null);
    const { answer } = await greet(site, router.port, "edge-2", "edge-2");
    assert.deepEqual(answer, { reason: "limit_reached", detail: "2 agents are connected" });
    const refused = await router.record((one) => one.reason === "limit_reached", from);
    assert.equal(refused.outcome, "refused");
    first.socket.destroy();
    await router.record((one) => one.agent !== null && one.reason === "client_closed", from);
    // Now there is room.
    assert.equal((await greet(site, router.port, "edge-2", "edge-2")).answer, null);
  });

  it("says so in a record when its agent has gone", async () => {
    assert.equal(await agent.stop(), 0);
    // Those that were refused in its name came by the other port.
    const record = await router.record((one) => one.listener === `127.0.0.1:${tunnelPort}`);
    assert.deepEqual(
      [record.route, record.adapter, record.outcome, record.reason, record.agent?.name],
      ["sallyport-tunnel", "tunnel", "served", "ok", "edge-1"],
    );
    assert.deepEqual(record.agent?.services, ["echo", "greet", "resets", "web", "tls", "gone"]);
  });
});
