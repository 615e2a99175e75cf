import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { after, before, describe, it } from "node:test";
import type { TLSSocket } from "node:tls";
import { dial, firstBytes, readAll } from "../support/client.ts";
import { startAgent, type TestAgent } from "../support/local-proxy.ts";
import { missing } from "../support/programs.ts";
import { startRedis } from "../support/redis.ts";
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
import { TokenIssuer } from "../support/token-issuer.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";
import { WebBrowser } from "../support/web-browser.ts";

const tcp = { ALPNProtocols: ["sallyport-tcp"] };
/** So many connections that none of two workers gets all of them by chance, where each has a socket of its own. */
const many = 24;

let site: Site;
let upstream: Upstream;
let router: TestRouter;
let agent: TestAgent | undefined;
let issuer: TokenIssuer;

before(async () => {
  site = await createSite(["localhost", "a.test", "b.test", "full.test", "agent.test"]);
  const edge = { commonName: "edge-1", groups: ["edge"] };
  site.save("edge-1", await site.authority.client(edge, 86_400_000));
  upstream = await tcpUpstream(echo);
  issuer = await TokenIssuer.start();
  Object.assign(issuer.documents["/.well-known/openid-configuration"] as object, {
    authorization_endpoint: `${issuer.issuer}/authorize`,
    token_endpoint: `${issuer.issuer}/token`,
    id_token_signing_alg_values_supported: ["ES256"],
  });
  router = await startRouter(site, { ...routes(), SALLYPORT_WORKERS: "2" });
});
after(async () => {
  await agent?.stop();
  await router?.stop();
  upstream?.close();
  issuer?.close();
  site?.remove();
});

const routes = () => ({
  SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test`,
  SALLYPORT_ROUTE_B: `tcp://127.0.0.1:${upstream.port}?sni=b.test`,
  SALLYPORT_ROUTE_FULL: `tcp://127.0.0.1:${upstream.port}?sni=full.test&max_connections=5`,
  SALLYPORT_ROUTE_AGENT: "tcp://echo?sni=agent.test&via=edge-1",
  SALLYPORT_TUNNEL_ALLOW: "edge-1=cn:edge-1",
  SALLYPORT_HOST_LOGIN: "oidc",
  SALLYPORT_OIDC_STAFF: `${issuer.issuer}?client_id=sallyport&email={email}`,
});

const isThere = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));

/** The worker processes that were ready, the last ones of each number. */
function pids(of: TestRouter): number[] {
  const found = new Map<number, number>();
  for (const line of of.errors().split("\n")) {
    if (!line.includes('"worker ready"')) continue;
    const { worker, pid } = JSON.parse(line) as { worker: number; pid: number };
    found.set(worker, pid);
  }
  return [...found.values()];
}

const links = (pid: number): string[] =>
  readdirSync(`/proc/${pid}/fd`).map((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`);
    } catch {
      return "";
    }
  });

/** How many of these connections each worker has, as the system knows it. */
function dealt(connections: readonly TLSSocket[]): number[] {
  const port = (field = ""): number => Number.parseInt(field.split(":")[1] ?? "", 16);
  const clients = new Set(connections.map(({ localPort }) => localPort));
  const theirs = readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, remote]) => port(local) === router.port && clients.has(port(remote)))
    .map((fields) => `socket:[${fields[9]}]`);
  return pids(router).map((pid) => links(pid).filter((link) => theirs.includes(link)).length);
}

const get = async (path: string): Promise<readonly [number, string]> => {
  const response = await fetch(`http://127.0.0.1:${router.adminPort}${path}`);
  return [response.status, await response.text()];
};

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 2400; i++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`it never came to ${what}: ${router.errors()}`);
}

/** Open connections that have carried something. */
async function opened(name: string, count: number): Promise<TLSSocket[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const socket = await dial(site, router.port, name, tcp);
      socket.write("hello");
      assert.equal((await firstBytes(socket))?.toString(), "hello");
      return socket;
    }),
  );
}

/** Connections of which each worker has some. Where all share one socket, a burst may go to one of them. */
async function everywhere(open: () => Promise<readonly TLSSocket[]>): Promise<readonly TLSSocket[]> {
  const held: TLSSocket[] = [];
  for (let i = 0; i < 30 && !dealt(held).every((count) => count > 0); i++) held.push(...(await open()));
  return held;
}

/** Whether a connection that is open still carries something. */
async function answers(socket: TLSSocket): Promise<boolean> {
  if (socket.destroyed || socket.readableEnded) return false;
  socket.write("still here");
  return (await firstBytes(socket))?.toString() === "still here";
}

async function over(connections: readonly TLSSocket[]): Promise<void> {
  await Promise.all(
    connections.map((socket) => {
      socket.end();
      return readAll(socket);
    }),
  );
}

describe("several workers", { timeout: 240_000 }, () => {
  it("all take connections, and are counted together", async () => {
    assert.equal(pids(router).length, 2);
    const held = await everywhere(() => opened("a.test", many));
    const total = held.length;
    const [first = 0, second = 0] = dealt(held);
    assert.ok(first > 0 && second > 0 && first + second === total, `${first} and ${second}`);
    assert.ok((await get("/metrics"))[1].includes(`\nsallyport_connections_active{route="a"} ${total}\n`));
    await over(held);
    await router.record((record) => record.route === "a");
    await until("all recorded", () => router.records().length === total);
    const [, text] = await get("/metrics");
    for (const line of [
      new RegExp(`^sallyport_connections_total\\{route="a",outcome="served",reason="ok"\\} ${total}$`, "m"),
      new RegExp(`^sallyport_bytes_total\\{route="a",direction="in"\\} ${total * "hello".length}$`, "m"),
      new RegExp(`^sallyport_handshake_seconds_count ${total}$`, "m"),
      /^sallyport_workers 2$/m,
      /^sallyport_build_info\{[^}]*\} 1$/m,
    ])
      assert.match(text, line);
    assert.deepEqual(await get("/readyz"), [200, "ready\n"]);
  });

  it("hold caps together", async () => {
    const from = router.now();
    const held = await opened("full.test", 5);
    for (let i = 0; i < 6; i++) await dial(site, router.port, "full.test", tcp).catch(() => null);
    await until("six refused", () => router.records(from).length === 6);
    for (const { reason, detail } of router.records(from))
      assert.deepEqual([reason, detail], ["limit_reached", "5 connections are open on route full"]);
    await over(held);
    await until("room again", () => router.records(from).length === 11);
    await over(await opened("full.test", 5));
  });

  it("sign with the same keys", async () => {
    const seen = new Set<string>();
    for (let i = 0; i < 8; i++) {
      const socket = await dial(site, router.port, "localhost", { ALPNProtocols: ["http/1.1"] });
      socket.write("GET /.well-known/jwks.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
      const answer = (await readAll(socket)).toString();
      assert.match(answer, /"kid"/);
      seen.add(JSON.stringify(answer.match(/"kid":"[^"]+"/g)));
    }
    assert.equal(seen.size, 1);
  });

  it("take each other's sessions where keys can be set, at the same route alone", async () => {
    const options = { ...tcp, maxVersion: "TLSv1.2" } as const;
    const first = await dial(site, router.port, "a.test", options);
    first.write("first");
    await firstBytes(first);
    const session = first.getSession();
    assert.ok(session !== undefined);
    await over([first]);
    const again = async (name: string): Promise<boolean> => {
      const socket = await dial(site, router.port, name, { ...options, session });
      socket.write("again");
      assert.equal((await firstBytes(socket))?.toString(), "again");
      const resumed = socket.isSessionReused();
      await over([socket]);
      return resumed;
    };
    const resumed: boolean[] = [];
    for (let i = 0; i < 10; i++) resumed.push(await again("a.test"));
    if (runtimeName.startsWith("node"))
      assert.deepEqual(
        resumed,
        resumed.map(() => true),
      );
    for (let i = 0; i < 6; i++) assert.equal(await again("b.test"), false);
  });

  it("know each other's browser sessions, and hear of it when one is over", async () => {
    const visitor = new WebBrowser(site, () => router.port, "HTTP/1.1");
    const own = "https://localhost/.well-known/sallyport";
    const query = new URL((await visitor.open(`${own}/sign-in`)).field("location")).searchParams;
    issuer.documents["/token"] = {
      access_token: "any",
      token_type: "bearer",
      id_token: await issuer.token({ nonce: query.get("nonce") }),
    };
    const back = new URLSearchParams({ code: "c", state: query.get("state") ?? "" });
    const done = await visitor.open(`${own}/callback?${back}`);
    assert.equal(done.field("location"), "https://localhost/", done.body);
    const cookie = visitor.cookiesFor("https://localhost/");
    const held = await everywhere(() =>
      Promise.all(
        Array.from({ length: many }, () =>
          dial(site, router.port, "localhost", { as: null, ALPNProtocols: ["http/1.1"] }),
        ),
      ),
    );
    const statuses = (): Promise<string[]> =>
      Promise.all(
        held.map(async (socket) => {
          socket.write(`HEAD /v1/whoami HTTP/1.1\r\nHost: localhost\r\nCookie: ${cookie}\r\n\r\n`);
          return (await firstBytes(socket))?.toString().slice(9, 12) ?? "";
        }),
      );
    assert.deepEqual(new Set(await statuses()), new Set(["200"]));
    assert.ok(dealt(held).every((count) => count > 0));
    const leave = { method: "POST", headers: { Origin: "https://localhost" } };
    assert.equal((await visitor.open(`${own}/sign-out`, leave)).status, 200);
    await until("signed out at every worker", async () =>
      (await statuses()).every((status) => status === "401"),
    );
    await over(held);
  });

  it("reach an agent that is connected to one of them", async () => {
    const service = `--service=echo=127.0.0.1:${upstream.port}`;
    agent = await startAgent(site, { router: `localhost:${router.port}`, as: "edge-1" }, [
      "--name=edge-1",
      service,
    ]);
    const held = await everywhere(() => opened("agent.test", many));
    assert.ok(
      dealt(held).every((count) => count > 0),
      `${dealt(held)}`,
    );
    const big = Buffer.alloc(300_000, 0x61);
    const answers = await Promise.all(
      held.map((socket) => {
        const answer = readAll(socket);
        socket.end(big);
        return answer;
      }),
    );
    for (const answer of answers) assert.equal(answer.length, big.length);
    assert.match((await get("/metrics"))[1], /^sallyport_tunnel_agents 1$/m);
  });

  it("are replaced when they die, and the others go on", async () => {
    const from = router.now();
    const held = await everywhere(() => opened("a.test", many));
    const sources = held.map(({ localPort }) => `127.0.0.1:${localPort}`);
    const [victim = 0, other = 0] = pids(router);
    const load = Array.from({ length: 4 }, async () => {
      // Those that the dead one had are cut; whoever comes anew is served.
      for (let i = 0; i < 10; i++)
        await opened("b.test", 1).then(over, () => new Promise((resolve) => setTimeout(resolve, 50)));
    });
    process.kill(victim, "SIGKILL");
    await until("another worker", () => !pids(router).includes(victim) && pids(router).length === 2);
    await Promise.all(load);
    await until("ready", async () => (await get("/readyz"))[0] === 200);
    assert.ok(pids(router).includes(other), "the other one was left alone");
    const answered = await Promise.all(held.map(answers));
    const alive = held.filter((_, i) => answered[i]);
    assert.ok(alive.length > 0 && alive.length < held.length, `${alive.length} of ${held.length} went on`);
    await over(alive);
    await until("none open", async () =>
      /^sallyport_connections_active\{route="a"\} 0$/m.test((await get("/metrics"))[1]),
    );
    assert.match(router.errors(), /"message":"a worker ended; another takes its place","worker":1/);
    await over(await opened("full.test", 5));
    const [, text] = await get("/metrics");
    assert.match(text, /^sallyport_workers_started_total 3$/m);
    const total = /^sallyport_connections_total\{route="full",outcome="served",reason="ok"\} (\d+)$/m;
    await until("counted", async () => total.exec((await get("/metrics"))[1])?.[1] === "15");
    await until("all recorded", () =>
      sources.every((client) => router.records(from).some(({ source }) => source === client)),
    );
    const records = router.records(from);
    for (const line of records) assert.equal(line.event, "connection");
    // Those that were cut have one record each, too, by the primary.
    for (const [i, client] of sources.entries()) {
      const [found, ...more] = records.filter(({ source }) => source === client);
      assert.ok(found !== undefined && more.length === 0, `${client}: ${JSON.stringify([found, ...more])}`);
      assert.deepEqual([found.route, found.identity?.groups], ["a", ["payments"]]);
      if (answered[i]) assert.deepEqual([found.outcome, found.reason, found.detail], ["served", "ok", null]);
      else {
        assert.deepEqual([found.outcome, found.reason], ["failed", "draining"]);
        assert.match(found.detail ?? "", /^worker 1 ended with status 1\d\d while it was open/);
        assert.ok(found.bytes_in <= "hello".length && found.duration_ms > 0);
      }
    }
    const cut = answered.filter((one) => !one).length;
    assert.match(
      (await get("/metrics"))[1],
      new RegExp(
        `^sallyport_connections_total\\{route="a",outcome="failed",reason="draining"\\} ${cut}$`,
        "m",
      ),
    );
  });

  it("end with their primary, however it ends", async () => {
    const workers = pids(router);
    const held = await opened("a.test", 4);
    process.kill(router.process.pid ?? 0, "SIGKILL");
    await until("no worker", () => !workers.some(isThere));
    for (const socket of held) socket.destroy();
    await assert.rejects(dial(site, router.port, "a.test", tcp));
  });
});

describe("several workers whose Redis is away", { timeout: 240_000, skip: missing("redis-server") }, () => {
  it("tell one that takes another's place what routers share", async () => {
    const redis = await startRedis(site.folder);
    const bob = await site.authority.client({ commonName: "bob", groups: [] }, 86_400_000);
    site.save("bob", bob);
    const deny = `${site.folder}/deny`;
    writeFileSync(deny, `${new X509Certificate(bob.cert).serialNumber}\n`);
    const state = {
      SALLYPORT_STATE_URL: `redis://127.0.0.1:${redis.port}`,
      SALLYPORT_STATE_SECRET: Buffer.alloc(32, 7).toString("base64"),
    };
    const [own, other] = await Promise.all([
      startRouter(site, { ...routes(), ...state, SALLYPORT_WORKERS: "2" }),
      startRouter(site, { ...routes(), ...state, SALLYPORT_DENY: deny }),
    ]);
    const served = async (as: string): Promise<boolean> => {
      try {
        const socket = await dial(site, own.port, "a.test", { ...tcp, as });
        socket.end("hello");
        return (await readAll(socket)).toString() === "hello";
      } catch {
        return false;
      }
    };
    const nobody = Array.from({ length: many }, () => false);
    const all = (as: string): Promise<boolean[]> => Promise.all(nobody.map(() => served(as)));
    await until("bob's denial at both workers", async () => !(await all("bob")).includes(true));
    await other.stop();
    redis.stop();
    const [pid] = pids(own);
    process.kill(pid ?? 0, "SIGKILL");
    await until("another worker", () => pids(own)[0] !== pid);
    assert.ok(!(await all("alice")).includes(false));
    assert.deepEqual(await all("bob"), nobody);
    await own.stop();
  });
});

describe("a router with workers", { timeout: 240_000 }, () => {
  it("drains, and ends with all of its workers", async () => {
    router = await startRouter(site, {
      ...routes(),
      SALLYPORT_WORKERS: "2",
      SALLYPORT_DRAIN_DELAY: "3s",
      SALLYPORT_DRAIN_TIMEOUT: "60s",
    });
    const workers = pids(router);
    const held = await opened("a.test", 6);
    router.process.kill("SIGTERM");
    await until("unready", async () => (await get("/readyz"))[0] === 503);
    assert.equal((await get("/readyz"))[1], "draining\n");
    await over(await opened("a.test", 1));
    await until("the port closed", () =>
      opened("a.test", 1).then(
        async (socket) => {
          await over(socket);
          return false;
        },
        () => true,
      ),
    );
    for (const answered of await Promise.all(held.map(answers))) assert.ok(answered);
    await over(held);
    await until("its end", () => router.process.exitCode !== null);
    assert.equal(router.process.exitCode, 0);
    assert.ok(!workers.some(isThere));
  });

  const failing = async (env: Readonly<Record<string, string>>) => {
    const [command, ...args] = sallyport;
    return run(command, [...args, "serve"], {
      env: environment({
        SALLYPORT_ADMIN_LISTEN: "off",
        SALLYPORT_CERT: `${site.folder}/server.crt`,
        SALLYPORT_KEY: `${site.folder}/server.key`,
        SALLYPORT_CLIENT_CA: `${site.folder}/ca.crt`,
        SALLYPORT_LOG_FORMAT: "json",
        SALLYPORT_WORKERS: "2",
        ...env,
      }),
    });
  };

  it("does not start where its port is taken, and says so once", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, "127.0.0.1", resolve));
    const { port } = taken.address() as { port: number };
    const { status, err } = await failing({ SALLYPORT_LISTEN: `127.0.0.1:${port}` });
    taken.close();
    assert.equal(status, 2, err);
    assert.deepEqual(
      err.match(/SALLYPORT_LISTEN: can't listen on .*: another program listens there/g)?.length,
      1,
      err,
    );
  });

  it("ends with the status of a first worker that does not start, and its words", async () => {
    const { status, err } = await failing({
      SALLYPORT_LISTEN: "127.0.0.1:0",
      SALLYPORT_AUTHORITY: `${site.folder}/no-authority`,
    });
    assert.equal(status, 2, err);
    assert.deepEqual(err.match(/SALLYPORT_AUTHORITY: /g)?.length, 1, err);
  });

  it("does not start where a worker's part of something would be nothing", async () => {
    const { status, err } = await failing({
      SALLYPORT_LISTEN: "127.0.0.1:0",
      SALLYPORT_ROUTE_WEB: "http://127.0.0.1:1?sni=a.test&max_requests=1",
    });
    assert.equal(status, 2, err);
    assert.match(err, /SALLYPORT_ROUTE_WEB: max_requests=1 .*expected 2 at least/);
  });

  it("takes no worker that nobody sent for", async () => {
    const [command, ...args] = sallyport;
    const { status, err } = await run(command, [...args, "worker"], { env: environment({}) });
    assert.equal(status, 2, err);
    assert.match(err, /started by "sallyport serve" alone/);
  });
});
