import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { Agent, request } from "node:https";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import pg from "pg";
import { firstBytes, readAll, dial as tlsDial } from "../support/client.ts";
import { newestLibpq, type Postgres, startPostgres } from "../support/postgres.ts";
import { missing } from "../support/programs.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";
import { httpUpstream, type Upstream } from "../support/upstreams.ts";

const bounded = { timeout: 240_000 };
const newest = newestLibpq === undefined ? "no Postgres from npm on this platform" : false;

let site: Site;
let web: Upstream;
let server: Postgres;
/** Ends the answers that wait. */
let letGo: (() => void)[] = [];

before(async () => {
  site = await createSite(["localhost", "*.example.com"]);
  web = await httpUpstream(
    (incoming, response) => {
      if (incoming.url !== "/slow") return void response.end("at once");
      response.write("so far");
      letGo.push(() => response.end(", and the rest"));
    },
    (_, socket) => {
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
      );
    },
  );
});
after(() => {
  web?.close();
  server?.stop();
  site?.remove();
});

const file = (name: string): string => join(site.folder, name);
const tls = () => ({
  ca: readFileSync(file("ca.crt")),
  cert: readFileSync(file("alice.crt")),
  key: readFileSync(file("alice.key")),
});
const exited = (child: ChildProcess): Promise<number | null> =>
  new Promise((resolve) => (child.exitCode === null ? child.once("exit", resolve) : resolve(child.exitCode)));
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const start = (more: Readonly<Record<string, string>> = {}): Promise<TestRouter> =>
  startRouter(site, {
    SALLYPORT_ROUTE_WEB: `http://127.0.0.1:${web.port}?sni=web.example.com`,
    SALLYPORT_DRAIN_TIMEOUT: "60s",
    ...more,
  });

/** How each connection ended, in the words of its record. */
const endings = (router: TestRouter): string[] =>
  router
    .records()
    .filter(({ event }) => event === "connection")
    .map(({ outcome, reason }) => `${outcome} ${reason}`);

interface Answer {
  readonly status: number | undefined;
  readonly connection: string | undefined;
  readonly body: string;
}

const get = (router: TestRouter, agent: Agent, path = "/"): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const asked = request(
      { host: "127.0.0.1", port: router.port, servername: "web.example.com", path, agent, ...tls() },
      (response) => {
        let body = "";
        response.on("data", (chunk: Buffer) => {
          body += chunk.toString();
        });
        response.on("error", reject);
        response.on("end", () =>
          resolve({ status: response.statusCode, connection: response.headers.connection, body }),
        );
      },
    );
    asked.on("error", reject);
    asked.setHeader("host", "web.example.com");
    asked.end();
  });

describe("a router that drains, HTTP/1.1", bounded, () => {
  it("says so in the next answer, finishes what is under way, and fails no request", async () => {
    const router = await start();
    const busy = new Agent({ keepAlive: true, maxSockets: 1 });
    const quiet = new Agent({ keepAlive: true, maxSockets: 1 });
    const slow = new Agent({ keepAlive: true, maxSockets: 1 });
    letGo = [];
    await get(router, busy);
    await get(router, quiet);
    const late = get(router, slow, "/slow");
    while (letGo.length === 0) await pause(10);
    router.process.kill("SIGTERM");
    // One connection all the time: what it was told is what ends it, not a race between a request and its close.
    let last = await get(router, busy);
    while (last.connection !== "close") {
      assert.equal(last.status, 200);
      await pause(20);
      last = await get(router, busy);
    }
    assert.equal(last.body, "at once");
    for (const go of letGo) go();
    assert.deepEqual(await late, { status: 200, connection: "keep-alive", body: "so far, and the rest" });
    assert.equal(await exited(router.process), 0);
    assert.deepEqual(endings(router), ["served draining", "served draining", "served draining"]);
    for (const agent of [busy, quiet, slow]) agent.destroy();
  });

  it("cuts a WebSocket when the time is over, and not before", async () => {
    const router = await start({ SALLYPORT_DRAIN_TIMEOUT: "3s" });
    const socket = await tlsDial(site, router.port, "web.example.com", { ALPNProtocols: ["http/1.1"] });
    socket.write(
      "GET / HTTP/1.1\r\nHost: web.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    assert.match(String(await firstBytes(socket)), /^HTTP\/1\.1 101 /);
    const from = Date.now();
    router.process.kill("SIGTERM");
    assert.equal(await exited(router.process), 0);
    assert.ok(Date.now() - from >= 2600);
    assert.deepEqual(endings(router), ["failed draining"]);
    socket.destroy();
  });
});

describe("a router that drains, HTTP/2", bounded, () => {
  const open = async (router: TestRouter): Promise<ClientHttp2Session> => {
    const socket = await tlsDial(site, router.port, "web.example.com", { ALPNProtocols: ["h2"] });
    const session = connectHttp2("https://web.example.com", { createConnection: () => socket });
    session.on("error", () => {});
    await once(session, "connect");
    return session;
  };
  const ask = (session: ClientHttp2Session, path: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const stream = session.request({ ":path": path, ":authority": "web.example.com" });
      let body = "";
      stream.on("data", (chunk: Buffer) => {
        body += chunk.toString();
      });
      stream.on("error", reject);
      stream.on("end", () => resolve(body));
    });

  it("sends GOAWAY, still hears what was on its way, and lets every stream finish", async () => {
    const router = await start();
    letGo = [];
    const session = await open(router);
    const goaways: [code: number, last: number | undefined][] = [];
    session.on("goaway", (code: number, last?: number) => goaways.push([code, last]));
    const slow = ask(session, "/slow");
    while (letGo.length === 0) await pause(10);
    router.process.kill("SIGTERM");
    await once(session, "goaway");
    for (const go of letGo) go();
    assert.equal(await slow, "so far, and the rest");
    assert.equal(await exited(router.process), 0);
    // First that there is to be nothing new, whatever is on its way; then what was heard.
    assert.deepEqual(goaways[0], [0, 2 ** 31 - 1]);
    assert.deepEqual(endings(router), ["served draining"]);
    session.destroy();
  });
});

describe("a router that drains, Postgres", { ...bounded, skip: missing("initdb") || newest }, () => {
  before(async () => {
    server = await startPostgres("newest");
  });

  const open = async (
    router: TestRouter,
    name: string,
  ): Promise<{ client: pg.Client; error: Promise<Error> }> => {
    const client = new pg.Client({
      host: "127.0.0.1",
      port: router.port,
      user: "postgres",
      database: "postgres",
      ssl: { ...tls(), servername: `${name}.example.com` },
    });
    const error = new Promise<Error>((resolve) => client.once("error", resolve));
    // The end of the connection is another one to pg.
    client.on("error", () => {});
    await client.connect();
    return { client, error };
  };
  const codeOf = async (error: Promise<Error>): Promise<unknown> =>
    ((await error) as { code?: unknown }).code;

  for (const [how, more] of [
    ["", ""],
    [", with statements audited", "&audit=statements"],
  ] as const)
    it(`ends idle sessions as a server does that shuts down, others after their transaction${how}`, async () => {
      const url = `postgres://127.0.0.1:${server.port}?upstream_tls=off&sni=db.example.com${more}`;
      const router = await start({ SALLYPORT_ROUTE_DB: url });
      const idle = await open(router, "db");
      const inside = await open(router, "db");
      const running = await open(router, "db");
      await inside.client.query("begin");
      await inside.client.query("create temporary table t (n int)");
      const text = `select pg_sleep(1), 'slept' as what -- ${more}`;
      const long = running.client.query(text);
      // Whether it runs still or not: it has come to the server.
      const looks = new pg.Client({ host: "127.0.0.1", port: server.port, user: "postgres" });
      await looks.connect();
      const seen = "select 1 from pg_stat_activity where query = $1";
      while ((await looks.query(seen, [text])).rowCount === 0) await pause(10);
      await looks.end();
      router.process.kill("SIGTERM");
      assert.equal(await codeOf(idle.error), "57P01");
      // The transaction goes on, statement by statement.
      await inside.client.query("insert into t values (1)");
      assert.deepEqual((await inside.client.query("select n from t")).rows, [{ n: 1 }]);
      assert.equal((await long).rows[0].what, "slept");
      await inside.client.query("commit");
      assert.equal(await codeOf(inside.error), "57P01");
      assert.equal(await codeOf(running.error), "57P01");
      assert.equal(await exited(router.process), 0);
      assert.deepEqual(endings(router), ["served draining", "served draining", "served draining"]);
      for (const { client } of [idle, inside, running]) await client.end().catch(() => {});
    });
});

describe("a router that drains, many connections", bounded, () => {
  it("asks them one after the other, and cuts what is left so too", async () => {
    const count = 60;
    const echoed = await httpUpstream(() => {});
    const router = await start({
      SALLYPORT_ROUTE_RAW: `tcp://127.0.0.1:${echoed.port}?sni=raw.example.com`,
      SALLYPORT_DRAIN_TIMEOUT: "3s",
    });
    const sockets = await Promise.all(
      Array.from({ length: count }, () => tlsDial(site, router.port, "raw.example.com")),
    );
    const gone = sockets.map((socket) => readAll(socket));
    router.process.kill("SIGTERM");
    await Promise.all(gone);
    assert.equal(await exited(router.process), 0);
    // By the router's clock: what this process has leave to hear may come to it all at once.
    const ends = router.records().map(({ time }) => Date.parse(time));
    assert.deepEqual(new Set(endings(router)), new Set(["failed draining"]));
    // A tenth of the time at most, ten milliseconds each: not all of them in one moment.
    const first = Math.min(...ends);
    assert.ok(
      ends.filter((end) => end - first > 80).length > count / 4,
      String(ends.map((end) => end - first)),
    );
    echoed.close();
  });
});
