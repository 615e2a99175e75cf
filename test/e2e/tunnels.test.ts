import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { dial, firstBytes, readAll } from "../support/client.ts";
import { client, startAgent, type TestAgent } from "../support/local-proxy.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { echo, httpUpstream, tcpUpstream, tlsUpstream, type Upstream } from "../support/upstreams.ts";

const dayMs = 86_400_000;

let site: Site;
before(async () => {
  site = await createSite(["localhost", "*.example.com", "*.edge-1.example.com", "*.nowhere.example.com"]);
  for (const name of ["edge-1", "edge-2"])
    site.save(name, await site.authority.client({ commonName: name, groups: ["edge"] }, dayMs));
  site.save("mallory", await site.authority.client({ commonName: "mallory", groups: [] }, dayMs));
});
after(() => site?.remove());

const at = (router: TestRouter): string => `localhost:${router.port}`;
const tcp = { ALPNProtocols: ["sallyport-tcp"] };
const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** What comes back of this. */
async function echoed(router: TestRouter, name: string, text = "hello"): Promise<string> {
  const socket = await dial(site, router.port, name, tcp);
  socket.end(text);
  return (await readAll(socket)).toString();
}

describe("services that an agent publishes", () => {
  let router: TestRouter;
  let agent: TestAgent;
  const upstreams: Upstream[] = [];
  const on = async (upstream: Promise<Upstream>): Promise<string> => {
    upstreams.push(await upstream);
    return `127.0.0.1:${upstreams.at(-1)?.port}`;
  };
  before(async () => {
    const server = await site.authority.server(["inner.example.com"], dayMs);
    const services = {
      echo: await on(tcpUpstream(echo)),
      greet: await on(tcpUpstream((socket) => socket.end("welcome"))),
      web: await on(
        httpUpstream((request, response) => response.end(`${request.url} of ${request.headers.host}`)),
      ),
      tls: await on(tlsUpstream(server, echo)),
      gone: "127.0.0.1:1",
    };
    router = await startRouter(site, {
      SALLYPORT_TUNNEL_ALLOW: "edge-1=cn:edge-1",
      SALLYPORT_ROUTE_ECHO: "tcp://echo?sni=echo.example.com&via=edge-1",
      SALLYPORT_ROUTE_ANY: "tcp://{service}?sni={service}.{agent}.example.com&via={agent}",
      SALLYPORT_ROUTE_WEB: "http://web?sni=web.example.com&via=edge-1",
      SALLYPORT_ROUTE_SECURE: `tcp://tls?sni=secure.example.com&via=edge-1&upstream_tls=verify&upstream_sni=inner.example.com&upstream_ca=${site.folder}/ca.crt`,
      SALLYPORT_ROUTE_PROXIED: "tcp://echo?sni=proxied.example.com&via=edge-1&send_proxy=v1",
    });
    agent = await startAgent(site, { router: at(router), as: "edge-1" }, [
      "--name=edge-1",
      ...Object.entries(services).map(([name, where]) => `--service=${name}=${where}`),
    ]);
  });
  after(async () => {
    await agent?.stop();
    await router?.stop();
    for (const upstream of upstreams) upstream.close();
  });

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
    assert.equal(await echoed(router, "secure.example.com", "inside"), "inside");
    assert.match(await echoed(router, "proxied.example.com"), /^PROXY TCP4 127\.0\.0\.1 .*\r\nhello$/);
  });

  it("are a hundred at once", async () => {
    const many = await Promise.all(
      Array.from({ length: 100 }, (_, i) => echoed(router, "echo.example.com", `number ${i}`)),
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
      const from = router.records().length;
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
    const upstream = await tcpUpstream((socket: Socket) => {
      socket.once("data", () => socket.resetAndDestroy());
    });
    const other = await startAgent(site, { router: at(router), as: "edge-1" }, [
      "--name=edge-1",
      `--service=resets=127.0.0.1:${upstream.port}`,
    ]);
    const socket = await dial(site, router.port, "resets.edge-1.example.com", tcp);
    socket.write("x");
    await readAll(socket);
    const record = await router.record((one) => one.upstream === "edge-1/resets");
    assert.equal(record.reason, "upstream_refused");
    assert.equal(await other.stop(), 0);
    upstream.close();
  });
});

describe("who may publish", () => {
  let router: TestRouter;
  before(async () => {
    router = await startRouter(site, {
      SALLYPORT_TUNNEL_ALLOW: "edge-1=cn:edge-1;edge-2=cn:edge-2",
      SALLYPORT_TUNNEL_MAX_AGENTS: "1",
    });
  });
  after(() => router?.stop());
  const args = ["--name=edge-1", "--service=x=127.0.0.1:1"];

  it("not another's name, nor a stranger any", async () => {
    for (const as of ["edge-2", "mallory"]) {
      const agent = await startAgent(site, { router: at(router), as, ready: /again in/ }, args);
      assert.match(agent.said(), /identity_not_allowed/);
      const record = await router.record(
        (one) => one.adapter === "tunnel" && one.identity?.subject.includes(as) === true,
      );
      assert.deepEqual([record.outcome, record.reason], ["refused", "identity_not_allowed"]);
      await agent.stop();
    }
  });

  it("not with a certificate for certain routes, unless this is one", async () => {
    const person = { commonName: "edge-1", groups: [] };
    const limits = { routes: ["echo"] };
    site.save("limited", await site.authority.client(person, dayMs, Date.now(), { limits }));
    const agent = await startAgent(site, { router: at(router), as: "limited", ready: /again in/ }, args);
    assert.match(agent.said(), /its certificate is for the routes echo alone/);
    await agent.stop();
  });

  it("not more than there is room for; each has its record", async () => {
    const from = router.records().length;
    const agent = await startAgent(site, { router: at(router), as: "edge-1" }, args);
    const second = await startAgent(site, { router: at(router), as: "edge-1", ready: /again in/ }, args);
    assert.match(second.said(), /limit_reached: 1 agents are connected/);
    assert.equal(await agent.stop(), 0);
    const record = await router.record((one) => one.agent !== null && one.reason === "ok", from);
    assert.deepEqual(
      [record.route, record.adapter, record.outcome],
      ["sallyport-tunnel", "tunnel", "served"],
    );
    assert.deepEqual(record.agent?.services, ["x"]);
    // Now there is room.
    await second.until(/ publishes /);
    await second.stop();
  });

  it("nobody, unless it is said", async () => {
    const other = await startRouter(site, {});
    const agent = await startAgent(site, { router: at(other), as: "edge-1", ready: /again in/ }, args);
    assert.doesNotMatch(agent.said(), / publishes /);
    await agent.stop();
    await other.stop();
  });

  for (const [what, given, words] of [
    ["a name", ["--service=a=127.0.0.1:1"], /--name is missing: .*SALLYPORT_AGENT_NAME/],
    ["a service", ["--name=a"], /--service is missing: .*SALLYPORT_SERVICE_<NAME>/],
    ["a label", ["--name=A.b", "--service=a=127.0.0.1:1"], /--name "A.b": expected a name of small letters/],
    ["an address", ["--name=a", "--service=a=22"], /--service "22": expected host:port/],
    ["it once", ["--name=a", "--service=a=h:1", "--service=a=h:2"], /service a stands there twice/],
  ] as const)
    it(`needs ${what}`, async () => {
      const { status, err } = await client(site, { router: at(router) }, ["agent", ...given]);
      assert.equal(status, 2);
      assert.match(err, words);
    });
});

describe("agents of one name", () => {
  it("share the load, stand in for each other, and move when the router drains", async () => {
    const allow = { SALLYPORT_TUNNEL_ALLOW: "edge=group:edge" };
    const route = { SALLYPORT_ROUTE_ECHO: "tcp://who?sni=who.example.com&via=edge" };
    const router = await startRouter(site, { ...allow, ...route, SALLYPORT_DRAIN_DELAY: "0s" });
    const who = (name: string): Promise<Upstream> =>
      tcpUpstream((socket) => {
        socket.write(name);
        socket.on("data", (chunk) => socket.write(chunk));
        socket.on("end", () => socket.end());
        socket.on("error", () => {});
      });
    const [first, second] = [await who("1"), await who("2")];
    const agents = await Promise.all(
      [first, second].map(({ port }, i) =>
        startAgent(
          site,
          {
            router: at(router),
            as: `edge-${i + 1}`,
            env: { SALLYPORT_AGENT_NAME: "edge", SALLYPORT_SERVICE_WHO: `127.0.0.1:${port}` },
          },
          [],
        ),
      ),
    );
    const open = async (): Promise<[Socket, string]> => {
      const socket = await dial(site, router.port, "who.example.com", tcp);
      return [socket, String(await firstBytes(socket))];
    };
    const pair = [await open(), await open()].sort(([, a], [, b]) => a.localeCompare(b));
    const [[kept], [other]] = pair as [[Socket, string], [Socket, string]];
    assert.deepEqual(
      pair.map(([, name]) => name),
      ["1", "2"],
    );
    // Its service is gone: the other one serves.
    second.close();
    other.destroy();
    for (let i = 0; i < 3; i++) assert.equal((await open())[1], "1");
    // It is gone itself.
    agents[1]?.process.kill("SIGKILL");
    await router.record((one) => one.adapter === "tunnel");
    assert.equal((await open())[1], "1");
    // The router drains: what is open goes on, and the agent looks for another.
    router.process.kill("SIGTERM");
    await agents[0]?.until(/a new connection .*: the router asks for it: it drains/);
    kept.write("still here");
    assert.equal(String(await firstBytes(kept)), "still here");
    await router.stop();
    await agents[0]?.stop();
    first.close();
  });

  it("come back once the router does", async () => {
    const allow = { SALLYPORT_TUNNEL_ALLOW: "edge-1=cn:edge-1" };
    const route = { SALLYPORT_ROUTE_ECHO: "tcp://echo?sni=echo.example.com&via=edge-1" };
    const upstream = await tcpUpstream(echo);
    const router = await startRouter(site, { ...allow, ...route });
    const agent = await startAgent(site, { router: at(router), as: "edge-1" }, [
      "--name=edge-1",
      `--service=echo=127.0.0.1:${upstream.port}`,
    ]);
    await router.stop();
    await agent.until(/no connection to .* again in/);
    const said = agent.said().length;
    const again = await startRouter(site, {
      ...allow,
      ...route,
      SALLYPORT_LISTEN: `127.0.0.1:${router.port}`,
    });
    await agent.until(/ publishes /, said);
    assert.equal(await echoed(again, "echo.example.com"), "hello");
    await agent.stop();
    await again.stop();
    upstream.close();
  });

  it("come to a listener of their own as well", async () => {
    const router = await startRouter(site, {
      SALLYPORT_TUNNEL_ALLOW: "edge-1=cn:edge-1",
      SALLYPORT_LISTENER_MODE: "separate",
      SALLYPORT_PORT_TUNNEL: "0",
    });
    const [, port] = /"tunnel":"127\.0\.0\.1:(\d+)"/.exec(router.errors()) ?? [];
    const agent = await startAgent(site, { router: `localhost:${port}`, as: "edge-1" }, [
      "--name=edge-1",
      "--service=x=127.0.0.1:1",
    ]);
    await agent.stop();
    const record = await router.record((one) => one.adapter === "tunnel");
    assert.equal(record.listener, `127.0.0.1:${port}`);
    await router.stop();
  });
});
