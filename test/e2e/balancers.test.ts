import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { parseEnv } from "node:util";
import { ConnectionDuplex } from "../../src/runtime/http/connection-duplex.ts";
import { SocketConnection } from "../../src/runtime/socket-connection.ts";
import { WebSocketConnection } from "../../src/websocket/connection.ts";
import {
  type Balancer,
  nginxIdleMs,
  recipe,
  startCaddy,
  startHaproxy,
  startNginx,
} from "../support/balancers.ts";
import { dial, firstBytes } from "../support/client.ts";
import { client, startProxy } from "../support/local-proxy.ts";
import { type Postgres, startPostgres } from "../support/postgres.ts";
import { missing, program } from "../support/programs.ts";
import { type Redis, startRedis } from "../support/redis.ts";
import { createSite, everyRuntime, type Site, startRouter, type TestRouter } from "../support/router.ts";
import type { Finished } from "../support/run.ts";
import { type Sshd, startSshd } from "../support/sshd.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

let site: Site;
before(async () => {
  site = await createSite(["localhost", "*.example.com", "*.ssh.example.com"]);
});
after(() => site?.remove());

const balancers = ["nginx", "HAProxy", "Caddy"] as const;

describe("behind a balancer that ends TLS", {
  skip: missing("nginx", "haproxy", "caddy", "psql", "initdb", "redis-server", "redis-cli", "ssh", "sshd"),
}, () => {
  let postgres: Postgres;
  let redis: Redis;
  let sshd: Sshd;
  let router: TestRouter;
  const fronts = new Map<string, Balancer>();
  /** psql behind nginx, saying nothing for as long as the other tests take. */
  let idle: ChildProcess;
  let idleOut = "";
  let idleSince = 0;

  const port = (name: string): number => fronts.get(name)?.port ?? 0;
  const forget = (): void => rmSync(`${site.folder}/config/sallyport/tunnels.json`, { force: true });
  const remembered = (): string =>
    existsSync(`${site.folder}/config/sallyport/tunnels.json`)
      ? readFileSync(`${site.folder}/config/sallyport/tunnels.json`, "utf8")
      : "";

  before(async () => {
    [postgres, redis, sshd] = await Promise.all([
      startPostgres("installed"),
      startRedis(site.folder),
      startSshd(`${site.folder}/ssh`),
    ]);
    router = await startRouter(site, {
      SALLYPORT_CONNECT_LISTEN: "127.0.0.1:0",
      SALLYPORT_FORWARDED_FROM: "127.0.0.0/8",
      SALLYPORT_ROUTE_ORDERS: `postgres://127.0.0.1:${postgres.port}?sni=orders.example.com`,
      SALLYPORT_ROUTE_CACHE: `redis://127.0.0.1:${redis.port}?sni=cache.example.com`,
      SALLYPORT_ROUTE_NODES: `ssh://127.0.0.1:${sshd.port}?sni={node}.ssh.example.com`,
      SALLYPORT_ROUTE_ELSEWHERE: `redis://127.0.0.1:${redis.port}?sni=elsewhere.example.com&source=192.0.2.0/24`,
    });
    const places = { router: router.port, connect: router.connectPort, admin: router.adminPort };
    fronts.set("nginx", await startNginx(site, places));
    fronts.set("HAProxy", await startHaproxy(site, places, "### HAProxy in HTTP mode"));
    fronts.set("Caddy", await startCaddy(site, places));
    const waiting = await startProxy(site, { router: `localhost:${port("nginx")}` }, ["db", "orders"]);
    idle = spawn(program("psql"), ["-XtA", `host=localhost port=${waiting.port} user=postgres`], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    idle.stdout?.on("data", (chunk) => {
      idleOut += chunk;
    });
    idle.stdin?.write("select 'awake';\n");
    idle.once("close", () => void waiting.stop());
    idleSince = Date.now();
  });
  after(async () => {
    idle?.kill();
    for (const { stop } of fronts.values()) stop();
    await router?.stop();
    postgres?.stop();
    redis?.stop();
    sshd?.stop();
  });

  for (const name of balancers) {
    it(`${name}: psql, redis-cli and ssh find their way by themselves`, async () => {
      forget();
      const through = { router: `localhost:${port(name)}` };
      const sql = await client(site, through, [
        "connect",
        "orders",
        "--",
        "-XtAU",
        "postgres",
        "-c",
        "select 6 * 7, repeat('x', 3000000)",
      ]);
      assert.match(sql.out, /^42\|x{3000000}\n$/, sql.err);
      assert.deepEqual(JSON.parse(remembered()), [`localhost:${port(name)}`]);
      const ping = await client(site, through, ["connect", "cache", "--", "ping"]);
      assert.equal(ping.out, "PONG\n", ping.err);
      const ssh = await client(site, through, [
        "connect",
        "node1.ssh.example.com",
        "--",
        "-F",
        "none",
        "-o",
        "BatchMode=yes",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        `UserKnownHostsFile=${site.folder}/known`,
        "-i",
        sshd.key,
        "head -c 3000000 /dev/zero | wc -c",
      ]);
      assert.equal(ssh.out.trim(), "3000000", ssh.err);
    });
  }

  for (const { name, command } of everyRuntime) {
    it(`the client on ${name} does so`, async () => {
      forget();
      const through = { router: `localhost:${port("nginx")}`, on: command };
      const { out, err } = await client(site, through, ["connect", "cache", "--", "ping"]);
      assert.equal(out, "PONG\n", err);
    });
  }

  it("with --tunnel never the client does not, and straight to the router it does when it is to", async () => {
    const ping = (router: number, ...how: readonly string[]): Promise<Finished> =>
      client(site, { router: `localhost:${router}` }, ["connect", "cache", ...how, "--", "ping"]);
    for (const front of balancers) {
      forget();
      const told = await ping(port(front), "--tunnel", "never");
      assert.equal(told.status, 1, front);
      assert.match(told.err, /the router at localhost:\d+ can't be asked/);
    }
    assert.equal((await ping(router.port)).out, "PONG\n");
    assert.equal(remembered(), "", "straight to the router nothing is to be remembered");
    const always = await ping(router.port, "--tunnel", "always");
    assert.equal(always.out, "PONG\n", always.err);
  });

  it("finds the way anew where the balancer is gone", async () => {
    const direct = { router: `localhost:${router.port}` };
    const own = await startHaproxy(
      site,
      { router: router.port, connect: router.connectPort, admin: router.adminPort },
      "### HAProxy in HTTP mode",
    );
    own.stop();
    forget();
    const gone = await client(site, { router: `localhost:${own.port}` }, ["routes"]);
    assert.match(gone.err, /ECONNREFUSED|refused/i);
    assert.equal((await client(site, direct, ["routes"])).status, 0);
  });

  it("the record has the client's own address, certificate and the way it came", async () => {
    const { out, err } = await client(site, { router: `localhost:${port("HAProxy")}` }, [
      "connect",
      "cache",
      "--",
      "ping",
    ]);
    assert.equal(out, "PONG\n", err);
    const record = await router.record(
      (one) => one.route === "cache" && one.listener === `tunnel:127.0.0.1:${router.port}`,
    );
    assert.match(record.source, /^127\.0\.0\.1:/);
    assert.equal(record.identity?.subject, "CN=alice,OU=payments");
  });

  it("a source rule goes by what the balancer says, not by what the client wrote in front of it", async () => {
    const ask = (...lines: readonly string[]): Promise<string> =>
      new Promise((resolve) => {
        const socket = connect(router.connectPort, "127.0.0.1");
        socket.write(
          `GET /.well-known/sallyport/connect HTTP/1.1\r\nHost: gate\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${lines.map((line) => `${line}\r\n`).join("")}\r\n`,
        );
        let text = "";
        socket.on("data", (chunk) => {
          text += chunk.toString("latin1");
          if (!text.includes("\r\n\r\n")) return;
          // Not TLS: the visit inside ends at once, and is recorded.
          socket.write(Buffer.from([0x82, 0x84, 0, 0, 0, 0, ...Buffer.from("SSH-")]));
          setTimeout(() => resolve(text), 100);
          setTimeout(() => socket.destroy(), 200);
        });
        socket.on("close", () => resolve(text));
      });
    const from = router.now();
    assert.match(await ask("X-Forwarded-For: 192.0.2.7, 198.51.100.9"), /^HTTP\/1\.1 101 /);
    const record = await router.record(({ reason }) => reason === "not_tls", from);
    assert.equal(record.source, "198.51.100.9:0");
    assert.match(await ask("X-Forwarded-For: not an address"), /^HTTP\/1\.1 400 /);
    assert.match(await ask("Origin: https://evil.example"), /^HTTP\/1\.1 403 /);
    // RFC 6455 §1.3 has this key and its answer.
    assert.match(await ask(), /sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK\+xOo=/i);
  });

  it("nothing but the upgrade and a health check is served in the clear", async () => {
    const ask = async (path: string): Promise<number> =>
      (await fetch(`http://127.0.0.1:${router.connectPort}${path}`)).status;
    assert.equal(await ask("/healthz"), 200);
    assert.equal(await ask("/.well-known/sallyport/connect"), 426);
    for (const path of ["/", "/v1/whoami", "/metrics"]) assert.equal(await ask(path), 404, path);
  });

  it("a tunnel inside a tunnel is refused", async () => {
    const proxy = await startProxy(site, { router: `localhost:${router.port}` }, [
      "app",
      "localhost",
      "--alpn",
      "sallyport-auth",
      "--tunnel",
      "always",
    ]);
    try {
      const socket = connect(proxy.port, "127.0.0.1");
      socket.write(
        "GET /.well-known/sallyport/connect HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      );
      assert.match((await firstBytes(socket))?.toString() ?? "", /^HTTP\/1\.1 400 /);
      socket.destroy();
    } finally {
      await proxy.stop();
    }
  });

  it("a session that says nothing outlives the balancer's limit", async () => {
    // Most of it the other tests have taken.
    const quiet = nginxIdleMs + 5000 - (Date.now() - idleSince);
    await new Promise((resolve) => setTimeout(resolve, quiet));
    assert.equal(idleOut, "awake\n");
    assert.equal(idle.exitCode, null, "psql has ended by itself");
    idle.stdin?.end("select 'still ' || 'here';\n");
    await new Promise((resolve) => idle.once("close", resolve));
    assert.equal(idleOut, "awake\nstill here\n");
  });
});

describe("the plain listener for connection upgrades", () => {
  it("keeps a tunnel open when a crowd connects that says nothing", async () => {
    const upstream = await tcpUpstream(echo);
    const router = await startRouter(site, {
      SALLYPORT_CONNECT_LISTEN: "127.0.0.1:0",
      SALLYPORT_FORWARDED_FROM: "127.0.0.0/8",
      SALLYPORT_MAX_CONNECTIONS: "16",
      SALLYPORT_ROUTE_ECHO: `tcp://127.0.0.1:${upstream.port}?sni=echo.example.com`,
    });
    const crowd: Socket[] = [];
    try {
      const tunnel = connect(router.connectPort, "127.0.0.1");
      crowd.push(tunnel);
      tunnel.write(
        "GET /.well-known/sallyport/connect HTTP/1.1\r\nHost: gate\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      );
      assert.match((await firstBytes(tunnel))?.toString() ?? "", /^HTTP\/1\.1 101 /);
      const duplex = new ConnectionDuplex(new WebSocketConnection(new SocketConnection(tunnel), "client"));
      const tls = await dial(site, router.port, "echo.example.com", {
        socket: duplex,
        ALPNProtocols: ["sallyport-tcp"],
      });
      tls.write("before");
      assert.equal((await firstBytes(tls))?.toString(), "before");
      for (let i = 0; i < 24; i++) {
        const socket = connect(router.connectPort, "127.0.0.1");
        socket.on("error", () => {});
        await once(socket, "connect");
        crowd.push(socket);
      }
      // The oldest of them have given way to the newest: all have been looked at.
      for (let i = 0; i < 2400 && crowd[1]?.closed === false; i++)
        await new Promise((resolve) => setTimeout(resolve, 25));
      assert.equal(crowd[1]?.closed, true);
      tls.write("after");
      assert.equal((await firstBytes(tls))?.toString(), "after");
      assert.doesNotMatch(router.errors(), /Warning/);
      tls.destroy();
    } finally {
      for (const socket of crowd) socket.destroy();
      await router.stop();
      upstream.close();
    }
  });
});

describe("behind a balancer at layer 4", () => {
  let upstream: Upstream;
  before(async () => {
    upstream = await tcpUpstream(echo);
  });
  after(() => upstream?.close());

  const v2 = (source: readonly number[], tlv: readonly number[]): Buffer => {
    const body = [...source, 127, 0, 0, 1, 0xc3, 0x50, 0x20, 0xfb, ...tlv];
    return Buffer.from([
      0x0d,
      10,
      13,
      10,
      0,
      13,
      10,
      0x51,
      0x55,
      0x49,
      0x54,
      10,
      0x21,
      0x11,
      0,
      body.length,
      ...body,
    ]);
  };
  const aws = [0xea, 0, 8, 1, ...Buffer.from("vpce-08")];
  const azure = [0xee, 0, 5, 1, 7, 0, 0, 9];
  const cases: readonly (readonly [heading: string, header: Buffer, source: string])[] = [
    ["### AWS Network Load Balancer", v2([203, 0, 113, 7], aws), "203.0.113.7:50000"],
    [
      "### Google Cloud proxy Network Load Balancer",
      Buffer.from("PROXY TCP4 203.0.113.8 127.0.0.1 50001 8443\r\n"),
      "203.0.113.8:50001",
    ],
    ["### Azure Load Balancer and Private Link", v2([203, 0, 113, 9], azure), "203.0.113.9:50000"],
  ];
  for (const [heading, header, source] of cases) {
    it(`${heading.slice(4)}: its header is read, its health checks are answered`, async () => {
      const env = parseEnv(recipe(heading, "sh")) as Record<string, string>;
      const router = await startRouter(site, {
        ...env,
        SALLYPORT_LISTEN: "127.0.0.1:0",
        SALLYPORT_ADMIN_LISTEN: "127.0.0.1:0",
        SALLYPORT_PROXY_PROTOCOL_FROM: `${env.SALLYPORT_PROXY_PROTOCOL_FROM},127.0.0.0/8`,
        SALLYPORT_ROUTE_ECHO: `tcp://127.0.0.1:${upstream.port}?sni=echo.example.com`,
      });
      try {
        const socket = connect({ host: "127.0.0.1", port: router.port, allowHalfOpen: true });
        socket.write(header);
        const tls = await dial(site, router.port, "echo.example.com", {
          socket,
          ALPNProtocols: ["sallyport-tcp"],
        });
        tls.write("through");
        assert.equal((await firstBytes(tls))?.toString(), "through");
        tls.destroy();
        const record = await router.record((one) => one.route === "echo");
        assert.equal(record.source, source);
        assert.equal((await fetch(`http://127.0.0.1:${router.adminPort}/readyz`)).status, 200);
      } finally {
        await router.stop();
      }
    });
  }

  it("HAProxy: psql's own address in the record, by a real PROXY header", {
    skip: missing("haproxy"),
  }, async () => {
    const router = await startRouter(site, {
      SALLYPORT_PROXY_PROTOCOL: "required",
      SALLYPORT_PROXY_PROTOCOL_FROM: "127.0.0.0/8",
      SALLYPORT_ROUTE_ECHO: `tcp://127.0.0.1:${upstream.port}?sni=echo.example.com`,
    });
    const places = { router: router.port, connect: 0, admin: router.adminPort };
    const front = await startHaproxy(site, places, "### HAProxy");
    try {
      const tls = await dial(site, front.port, "echo.example.com", { ALPNProtocols: ["sallyport-tcp"] });
      tls.write("through");
      assert.equal((await firstBytes(tls))?.toString(), "through");
      tls.destroy();
      const record = await router.record((one) => one.route === "echo");
      assert.match(record.source, /^127\.0\.0\.1:\d+$/);
      const through = await client(site, { router: `localhost:${front.port}` }, ["routes"]);
      assert.equal(through.status, 0, through.err);
    } finally {
      front.stop();
      await router.stop();
    }
  });
});
