import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type AgentHere, agentHere } from "../support/agents.ts";
import { dial, readAll } from "../support/client.ts";
import { amongPeers, peerSite } from "../support/peers.ts";
import { freePort } from "../support/ports.ts";
import { missing } from "../support/programs.ts";
import { type Site, startRouter, type TestRouter } from "../support/router.ts";
import { StateServer, settled } from "../support/state.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

describe("routers that tell each other which agents they have", { skip: missing("redis-server") }, () => {
  let site: Site;
  let redis: StateServer;
  let upstream: Upstream;
  let a: TestRouter;
  let b: TestRouter;
  let agent: AgentHere;

  async function start(name: "a" | "b"): Promise<TestRouter> {
    const port = await freePort();
    return startRouter(
      site,
      amongPeers(site, name, {
        SALLYPORT_LISTEN: `127.0.0.1:${port}`,
        SALLYPORT_PEER_ADDRESS: `127.0.0.1:${port}`,
        SALLYPORT_STATE_URL: `redis://127.0.0.1:${redis.port}`,
        SALLYPORT_STATE_SECRET: Buffer.alloc(32, 6).toString("base64"),
        SALLYPORT_TUNNEL_ALLOW: "*=group:edge",
        SALLYPORT_CONNECT_TIMEOUT: "5s",
        SALLYPORT_ROUTE_ANY: "tcp://{service}?sni={service}.{agent}.example.com&via={agent}",
      }),
    );
  }

  before(async () => {
    site = await peerSite(["a", "b"], ["edge-1"], ["*.edge-1.example.com"]);
    redis = await StateServer.start(site);
    upstream = await tcpUpstream(echo);
    [a, b] = await Promise.all([start("a"), start("b")]);
    agent = await agentHere(site, a.port, "edge-1", "edge-1", {
      echo: { host: "127.0.0.1", port: upstream.port },
    });
    await agent.until(/^connected/);
  });
  after(async () => {
    await Promise.all([a?.stop(), b?.stop()]);
    redis?.stop();
    upstream?.close();
    site?.remove();
  });

  const reached = async (): Promise<boolean> => {
    const options = { ALPNProtocols: ["sallyport-tcp"] };
    const socket = await dial(site, b.port, "echo.edge-1.example.com", options);
    socket.end("by way of both");
    return (await readAll(socket)).toString() === "by way of both";
  };

  it("reach each other's, and go on doing so while Redis is away", async () => {
    await settled(reached);
    redis.kill();
    const ready = async (): Promise<string> => (await fetch(`http://127.0.0.1:${b.adminPort}/readyz`)).text();
    await settled(async () => (await ready()).startsWith("ready\nstate: away"));
    assert.ok(await reached());
  });
});
