import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import type { ForwardedRecord } from "../../src/core/record.ts";
import { type AgentHere, agentHere } from "../support/agents.ts";
import { dial, firstBytes, readAll } from "../support/client.ts";
import { client } from "../support/local-proxy.ts";
import { amongPeers, peerSite } from "../support/peers.ts";
import { freePort } from "../support/ports.ts";
import { type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, httpUpstream, tcpUpstream, type Upstream } from "../support/upstreams.ts";

const tcp = { ALPNProtocols: ["sallyport-tcp"] };
const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

let site: Site;
/** Where the agent is. */
let a: TestRouter;
/** Where the clients come. */
let b: TestRouter;
let ports: readonly [number, number];
let agent: AgentHere;
let services: Readonly<Record<string, Upstream>>;

const at = (port: number): { host: string; port: number } => ({ host: "127.0.0.1", port });

async function start(name: "a" | "b"): Promise<TestRouter> {
  const own = ports[name === "a" ? 0 : 1];
  return startRouter(
    site,
    amongPeers(site, name, {
      SALLYPORT_LISTEN: `127.0.0.1:${own}`,
      SALLYPORT_PEER_ADDRESS: `127.0.0.1:${own}`,
      SALLYPORT_PEERS: `127.0.0.1:${ports[0]},127.0.0.1:${ports[1]}`,
      SALLYPORT_TUNNEL_ALLOW: "*=group:edge",
      SALLYPORT_ADMIN_ALLOW: "cn:alice",
      SALLYPORT_CONNECT_TIMEOUT: "5s",
      SALLYPORT_ROUTE_ANY: "tcp://{service}?sni={service}.{agent}.example.com&via={agent}",
      SALLYPORT_ROUTE_WEB: "http://web?sni=web.example.com&via=edge-1",
    }),
  );
}

/** What became of streams at the agent's router. */
const forwarded = (router: TestRouter): ForwardedRecord[] =>
  (router.records() as unknown as ForwardedRecord[]).filter(({ event }) => event === "forwarded");

async function forwardedWith(router: TestRouter, id: string): Promise<ForwardedRecord> {
  await router.record((one) => (one.event as string) === "forwarded" && one.id === id);
  const found = forwarded(router).find((one) => one.id === id);
  assert.ok(found);
  return found;
}

before(async () => {
  site = await peerSite(
    ["a", "b"],
    ["edge-1"],
    ["web.example.com", "*.edge-1.example.com", "*.none.example.com"],
  );
  services = {
    echo: await tcpUpstream(echo),
    greet: await tcpUpstream((socket) => socket.end("welcome")),
    web: await httpUpstream((request, response) => response.end(`${request.url} by way of both`)),
  };
  ports = [await freePort(), await freePort()];
  [a, b] = await Promise.all([start("a"), start("b")]);
  agent = await agentHere(site, a.port, "edge-1", "edge-1", {
    ...Object.fromEntries(Object.entries(services).map(([name, { port }]) => [name, at(port)])),
    gone: at(1),
  });
  await agent.until(/^connected/);
});
after(async () => {
  await Promise.all([a?.stop(), b?.stop()]);
  site?.remove();
});

async function echoed(text: string): Promise<string> {
  const socket = await dial(site, b.port, "echo.edge-1.example.com", tcp);
  socket.end(text);
  return (await readAll(socket)).toString();
}

describe("an agent that is connected to another router", () => {
  it("is reached whole, both halves apart, and both routers say so", async () => {
    const socket = await dial(site, b.port, "echo.edge-1.example.com", tcp);
    const sent = randomBytes(3_000_000);
    const answer = readAll(socket);
    socket.end(sent);
    assert.equal(sha(await answer), sha(sent));
    const record = await b.record((one) => one.route === "any");
    assert.deepEqual([record.upstream, record.outcome, record.reason], ["edge-1/echo", "served", "ok"]);
    const there = await forwardedWith(a, record.id);
    assert.deepEqual(
      [there.outcome, there.reason, there.source, there.route, there.upstream, there.peer],
      ["served", "ok", record.source, "any", "edge-1/echo", "CN=b,OU=routers"],
    );
    assert.deepEqual([there.bytes_in, there.bytes_out], [sent.length, sent.length]);
    assert.equal(there.identity?.subject, record.identity?.subject);
    assert.equal(there.identity?.fingerprint, record.identity?.fingerprint);
  });

  it("speaks first where its service does", async () => {
    const socket = await dial(site, b.port, "greet.edge-1.example.com", tcp);
    socket.end();
    assert.equal((await readAll(socket)).toString(), "welcome");
  });

  it("is reached by HTTP", async () => {
    const web = await dial(site, b.port, "web.example.com", { ALPNProtocols: ["http/1.1"] });
    web.write("GET /path HTTP/1.1\r\nHost: web.example.com\r\nConnection: close\r\n\r\n");
    assert.match((await readAll(web)).toString(), /\r\n\r\n[\s\S]*\/path by way of both/);
  });

  it("carries a hundred streams at once, on one connection", async () => {
    const many = await Promise.all(Array.from({ length: 100 }, (_, i) => echoed(`number ${i}`)));
    assert.deepEqual(
      many,
      many.map((_, i) => `number ${i}`),
    );
    assert.equal(b.errors().split('"connected to another router"').length, 2, b.errors());
  });

  it("has no stream wait for one that nobody reads", async () => {
    const stuck = await dial(site, b.port, "echo.edge-1.example.com", tcp);
    stuck.write(randomBytes(8_000_000));
    const sent = randomBytes(2_000_000);
    const socket = await dial(site, b.port, "echo.edge-1.example.com", tcp);
    const answer = readAll(socket);
    socket.end(sent);
    assert.equal(sha(await answer), sha(sent));
    stuck.destroy();
  });

  for (const [name, reason, detail] of [
    ["gone.edge-1", "upstream_unreachable", /router .*: agent edge-1: service gone: it can't be dialled$/],
    ["other.edge-1", "upstream_refused", /router .*: agent edge-1 publishes no service other$/],
    ["echo.none", "upstream_unreachable", /^no agent none is connected$/],
  ] as const)
    it(`says why ${name} was not reached`, async () => {
      const from = b.now();
      const socket = await dial(site, b.port, `${name}.example.com`, tcp);
      assert.equal(await firstBytes(socket), null);
      const record = await b.record((one) => one.sni === `${name}.example.com`, from);
      assert.deepEqual([record.outcome, record.reason], ["failed", reason]);
      assert.match(record.detail ?? "", detail);
      const there = await forwardedWith(a, record.id);
      assert.equal(there.reason, reason);
      // What one router asks another for goes no further.
      assert.deepEqual(forwarded(b), []);
    });

  it("is shown to administrators, with where it is", async () => {
    const socket = await dial(site, b.port, "localhost", { ALPNProtocols: ["http/1.1"] });
    socket.write("GET /v1/routes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    const answer = (await readAll(socket)).toString();
    const { agents } = JSON.parse(/\{.*\}/s.exec(answer)?.[0] ?? "") as { agents: Record<string, unknown>[] };
    assert.deepEqual(
      agents.map((one) => [one.name, one.subject, one.router]),
      [["edge-1", "CN=edge-1,OU=edge", `127.0.0.1:${a.port}`]],
    );
    const { out } = await client(site, { router: `localhost:${b.port}`, as: "alice" }, ["routes"]);
    assert.match(out, new RegExp(`^edge-1 +echo .* 127\\.0\\.0\\.1:\\d+ at 127\\.0\\.0\\.1:${a.port} `, "m"));
  });
});
