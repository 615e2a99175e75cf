import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { connect as connectTcp, createServer, type Server, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import mysql2, { type Connection, type ConnectionOptions } from "mysql2/promise";
import { Greetings } from "../../src/adapters/mysql/greetings.ts";
import { capability } from "../../src/wire/mysql/capabilities.ts";
import { greetingPayload, parseGreeting } from "../../src/wire/mysql/greeting.ts";
import { type Login, loginPayload, sslRequestPayload } from "../../src/wire/mysql/login.ts";
import { errorPayload, mysqlPacket, parseError } from "../../src/wire/mysql/packet.ts";
import { startProxy } from "../support/local-proxy.ts";
import { type FakeMysql, fakeMysql, PacketSocket } from "../support/mysql-server.ts";
import { freePort } from "../support/ports.ts";
import { createSite, type Site, startRouter, type TestRouter } from "../support/router.ts";

const accounts = {
  app: { plugin: "caching_sha2_password", password: "the router's own" },
  old: { plugin: "mysql_native_password", password: "older still" },
  clear: { plugin: "mysql_clear_password", password: "in the clear" },
  odd: { plugin: "authentication_odd", password: "never mind" },
  none: { plugin: "mysql_native_password", password: "unused" },
};

describe("logins at MySQL 8", () => {
  let site: Site;
  let plain: FakeMysql;
  let secure: FakeMysql;
  let native: FakeMysql;
  let eager: FakeMysql;
  let full: FakeMysql;
  let silent: Server;
  let broken: Server;
  const held: Socket[] = [];
  let router: TestRouter;
  let ownPort = 0;
  before(async () => {
    site = await createSite(["localhost", "*.example.com"]);
    const tls = { cert: file("server.crt"), key: file("server.key") };
    plain = await fakeMysql(accounts);
    secure = await fakeMysql(accounts, { tls });
    native = await fakeMysql(accounts, {
      plugin: "mysql_native_password",
      flags: 0x00ff_ffff & ~capability.tls,
    });
    eager = await fakeMysql(accounts, { tls, behind: mysqlPacket(1, Uint8Array.of(0, 0, 0, 2, 0, 0, 0)) });
    full = await fakeMysql(accounts, {
      instead: errorPayload({ code: 1040, state: null, message: "Too many connections" }),
    });
    silent = createServer((socket) => held.push(socket.on("error", () => {})));
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    broken = createServer((socket) => {
      socket.on("error", () => {}).once("data", () => socket.resetAndDestroy());
      socket.write(mysqlPacket(0, greetingPayload(new Greetings().invent(null))));
    });
    await new Promise<void>((resolve) => broken.listen(0, "127.0.0.1", resolve));
    const { port: brokenPort } = broken.address() as { port: number };
    const { port: silentPort } = silent.address() as { port: number };
    ownPort = await freePort();
    const verify = `upstream_tls=verify&upstream_ca=${encodeURIComponent(`${site.folder}/ca.crt`)}&upstream_sni=localhost`;
    const route = (
      name: string,
      user: keyof typeof accounts | null,
      { port }: { port: number },
      more = "",
    ) => ({
      [`SALLYPORT_ROUTE_${name.toUpperCase().replaceAll("-", "_")}`]: `mysql://${
        user === null ? "" : `${user}:${encodeURIComponent(accounts[user].password)}@`
      }127.0.0.1:${port}?sni=${name}.example.com${more === "" ? "" : `&${more}`}`,
    });
    router = await startRouter(site, {
      ...route("plain", "app", plain),
      ...route("secure", "app", secure, verify),
      ...route("insecure", "app", secure, "upstream_tls=insecure&upstream_sni=localhost"),
      ...route("untold", "app", plain, verify),
      ...route("eager", "app", eager, verify),
      ...route("full", "app", full),
      ...route("silent", "app", { port: silentPort }),
      ...route("broken", "app", { port: brokenPort }),
      ...route("old", "old", secure, verify),
      ...route("first-old", "app", native),
      ...route("clear", "clear", secure, verify),
      ...route("clear-plain", "clear", plain),
      ...route("odd", "odd", secure, verify),
      ...route("self", null, plain),
      ...route("self-secure", null, secure, verify),
      ...route("own", "app", plain, `port=${ownPort}`),
    });
  });
  after(async () => {
    await router?.stop();
    for (const server of [plain, secure, native, eager, full]) server?.close();
    for (const socket of held) socket.destroy();
    silent?.close();
    broken?.close();
    site?.remove();
  });

  const file = (name: string): string => readFileSync(`${site.folder}/${name}`, "utf8");
  const tunnel = (route: string): Promise<TLSSocket> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({
        host: "127.0.0.1",
        port: router.port,
        servername: `${route}.example.com`,
        ALPNProtocols: ["sallyport-mysql"],
        ca: file("ca.crt"),
        cert: file("alice.crt"),
        key: file("alice.key"),
      });
      socket.once("secureConnect", () => resolve(socket));
      socket.once("error", reject);
    });

  const opened = async (route: string, options: ConnectionOptions = {}): Promise<Connection> =>
    mysql2.createConnection({ user: "app", ...options, stream: await tunnel(route) });
  async function logsIn(route: string, options: ConnectionOptions = {}): Promise<void> {
    const connection = await opened(route, options);
    await connection.ping();
    await connection.end();
  }
  const heard = (server: FakeMysql, words: string): boolean =>
    server.heard.some((payload) => payload.includes(words));
  const failure = async (route: string): Promise<[string, string]> => {
    const { reason, detail } = await router.record((one) => one.route === route && one.outcome !== "served");
    return [reason, detail ?? ""];
  };

  it("say caching_sha2_password's own password inside verified TLS, and after that prove it", async () => {
    secure.remembered.clear();
    await logsIn("secure");
    assert.ok(heard(secure, accounts.app.password));
    secure.heard.length = 0;
    await logsIn("secure", { password: "the client's, which counts for nothing" });
    assert.ok(!heard(secure, accounts.app.password));
    assert.ok(!heard(secure, "which counts"));
  });

  it("say it nowhere else", async () => {
    plain.remembered.clear();
    secure.remembered.clear();
    for (const [route, server] of [
      ["plain", plain],
      ["insecure", secure],
    ] as const) {
      server.heard.length = 0;
      await assert.rejects(opened(route), /does not work with us/);
      assert.ok(!heard(server, accounts.app.password));
      const [reason, detail] = await failure(route);
      assert.equal(reason, "upstream_refused");
      assert.match(detail, /only said under upstream_tls=verify/);
    }
    // What is remembered is proved, in the clear too.
    plain.remembered.add("app");
    await logsIn("plain");
  });

  it("go where the server switches to", async () => {
    await logsIn("old", { user: "old" });
    native.remembered.add("app");
    await logsIn("first-old");
    await logsIn("clear", { user: "clear" });
  });

  it("stop where a server asks for the password without TLS, or for what can't be done", async () => {
    plain.heard.length = 0;
    await assert.rejects(opened("clear-plain", { user: "clear" }), /does not work with us/);
    assert.ok(!heard(plain, accounts.clear.password));
    assert.match((await failure("clear-plain"))[1], /mysql_clear_password/);
    await assert.rejects(opened("odd", { user: "odd" }), /does not work with us/);
    assert.match((await failure("odd"))[1], /authentication_odd, which the router can't do/);
  });

  it("stop where a server that has to has no TLS, or speaks in front of it", async () => {
    plain.heard.length = 0;
    await assert.rejects(opened("untold"), /does not work with us/);
    assert.match((await failure("untold"))[1], /offers no TLS/);
    assert.equal(plain.heard.length, 0);
    await assert.rejects(opened("eager"), /does not work with us/);
    assert.match((await failure("eager"))[1], /in front of the TLS handshake/);
  });

  it("pass on what a server says in the place of a greeting", async () => {
    await assert.rejects(opened("full"), { errno: 1040, message: "Too many connections" });
  });

  it("are the upstream's fault where it breaks the connection", async () => {
    await assert.rejects(opened("broken"), /does not work with us/);
    assert.equal((await failure("broken"))[0], "upstream_refused");
  });

  it("run end to end where the router keeps no password", async () => {
    const { password } = accounts.app;
    plain.remembered.clear();
    plain.heard.length = 0;
    // Over RSA, since neither of them has TLS.
    await logsIn("self", { password });
    assert.ok(!heard(plain, password));
    await logsIn("self", { password });
    await logsIn("self", { user: "old", password: accounts.old.password });
    await assert.rejects(opened("self", { password: "wrong" }), { errno: 1045 });
    secure.remembered.delete("app");
    await assert.rejects(opened("self-secure", { password }), /connect with TLS/);
    secure.remembered.add("app");
    await logsIn("self-secure", { password });
  });

  it("run through the local proxy's TLS into the upstream's, and into none else", async () => {
    const { password } = accounts.app;
    for (const [route, server] of [
      ["self-secure", secure],
      ["self", plain],
    ] as const) {
      server.remembered.clear();
      server.heard.length = 0;
      const proxy = await startProxy(site, { router: `localhost:${router.port}` }, [
        "db",
        `${route}.example.com`,
        "--protocol",
        "mysql",
      ]);
      const options = {
        host: "127.0.0.1",
        port: proxy.port,
        user: "app",
        password,
        ssl: { rejectUnauthorized: false },
      };
      try {
        if (server === secure) await (await mysql2.createConnection(options)).end();
        else
          await assert.rejects(mysql2.createConnection(options), /does not work with us|upstream_tls=verify/);
      } finally {
        await proxy.stop();
      }
      assert.equal(heard(server, password), server === secure);
    }
  });

  it("ask no client for its password in the clear on a server's word", async () => {
    const asked: string[] = [];
    const connection = opened("self", {
      user: "clear",
      password: accounts.clear.password,
      authPlugins: {
        mysql_clear_password: () => () => {
          asked.push("asked");
          return Buffer.from(`${accounts.clear.password}\0`);
        },
      },
    });
    await assert.rejects(connection, /does not work with us/);
    assert.deepEqual(asked, []);
    assert.ok(!heard(plain, accounts.clear.password));
  });

  const login: Login = {
    flags: capability.protocol41 | capability.secureConnection | capability.pluginAuth,
    extended: 0,
    maxPacket: 1 << 24,
    charset: 45,
    user: "app",
    answer: new Uint8Array(0),
    database: null,
    plugin: "caching_sha2_password",
    attributes: null,
  };

  async function greeted(route: string): Promise<PacketSocket> {
    const packets = new PacketSocket(await tunnel(route));
    const greeting = parseGreeting((await packets.read()) ?? new Uint8Array(0));
    assert.ok(greeting.kind === "ok");
    assert.equal(greeting.value.version, "8.0.36");
    assert.equal(greeting.value.flags & (capability.tls | capability.compress | capability.localFiles), 0);
    return packets;
  }

  it("come in byte by byte", async () => {
    plain.remembered.add("app");
    const packets = await greeted("plain");
    try {
      for (const byte of mysqlPacket(1, loginPayload(login))) {
        packets.socket.write(Uint8Array.of(byte));
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
      assert.equal((await packets.read())?.[0], 0);
      plain.commands.length = 0;
      for (const byte of Buffer.concat([
        mysqlPacket(0, Buffer.from("\x03select 1")),
        mysqlPacket(0, Uint8Array.of(0x0e)),
      ]))
        packets.socket.write(Uint8Array.of(byte));
      assert.equal((await packets.read())?.[0], 0);
      assert.equal((await packets.read())?.[0], 0);
      assert.deepEqual(plain.commands.map(String), ["\x03select 1", "\x0e"]);
    } finally {
      packets.socket.destroy();
    }
  });

  it("end with MySQL's own error where a client breaks the rules", async () => {
    const bad: readonly (readonly [string, Uint8Array, RegExp])[] = [
      ["another number", mysqlPacket(3, loginPayload(login)), /packet 3 came where 1 was due/],
      ["longer than any login", Uint8Array.of(255, 255, 255, 1), /connection phase/],
      ["older than 4.1", mysqlPacket(1, new Uint8Array(40)), /older than MySQL 4.1/],
      ["cut short", mysqlPacket(1, loginPayload(login).subarray(0, 33)), /ends too early/],
      [
        "TLS inside TLS",
        mysqlPacket(1, sslRequestPayload({ ...login, flags: login.flags | capability.tls })),
        /ends too early/,
      ],
    ];
    for (const [name, bytes, words] of bad) {
      const packets = await greeted("plain");
      packets.socket.write(bytes);
      const error = parseError((await packets.read()) ?? new Uint8Array(0));
      assert.equal(error?.code, 1043, name);
      assert.match(error?.message ?? "", words, name);
      packets.socket.destroy();
    }
    assert.equal((await failure("plain"))[0] !== "ok", true);
  });

  it("reach no user by commands under false numbers", async () => {
    plain.remembered.add("app");
    for (const disguise of [
      // Pipelined behind another, cut across chunks, behind an empty one.
      [mysqlPacket(0, Buffer.from("\x03select 1")), mysqlPacket(0, Buffer.from("\x11root\0"))],
      [
        mysqlPacket(0, Buffer.from("\x11root\0")).subarray(0, 4),
        mysqlPacket(0, Buffer.from("\x11root\0")).subarray(4),
      ],
      [mysqlPacket(0, new Uint8Array(0)), mysqlPacket(0, Buffer.from("\x11root\0"))],
    ]) {
      const packets = await greeted("plain");
      packets.write(loginPayload(login));
      assert.equal((await packets.read())?.[0], 0);
      plain.commands.length = 0;
      for (const part of disguise) {
        packets.socket.write(part);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      await packets.read();
      packets.socket.end(mysqlPacket(0, Uint8Array.of(0x0e)));
      for (let i = 0; i < 2400 && !plain.commands.some((one) => one[0] === 0x0e); i++)
        await new Promise((resolve) => setTimeout(resolve, 25));
      packets.socket.destroy();
      assert.ok(plain.commands.some((one) => one[0] === 0x0e));
      assert.ok(!plain.commands.some((one) => one[0] === 0x11));
    }
  });

  it("end a client that holds more than such a command can be", async () => {
    plain.remembered.add("app");
    const packets = await greeted("plain");
    packets.write(loginPayload(login));
    await packets.read();
    const long = Buffer.alloc(100_000);
    long[0] = 0x11;
    packets.socket.write(mysqlPacket(0, long));
    assert.equal(await packets.read(), null);
    const record = await router.record(
      (one) => one.route === "plain" && /longer than such commands are/.test(one.detail ?? ""),
    );
    assert.equal(record.reason, "protocol_error");
  });

  it("greet a client that waits for it, and go by what it was greeted with", async () => {
    plain.remembered.add("app");
    for (let i = 0; i < 2; i++) {
      const socket = connectTcp(ownPort, "127.0.0.1");
      const connection = await mysql2.createConnection({
        host: "own.example.com",
        user: "app",
        password: "counts for nothing",
        ssl: { ca: file("ca.crt"), cert: file("alice.crt"), key: file("alice.key"), verifyIdentity: true },
        stream: socket,
      });
      await connection.ping();
      await connection.end();
    }
    const first = connectTcp(ownPort, "127.0.0.1");
    const packets = new PacketSocket(first);
    const greeting = parseGreeting((await packets.read()) ?? new Uint8Array(0));
    assert.ok(greeting.kind === "ok");
    // The upstream's, seen by now, and TLS.
    assert.equal(greeting.value.version, "8.0.36");
    assert.equal(greeting.value.plugin, "caching_sha2_password");
    assert.notEqual(greeting.value.flags & capability.tls, 0);
    assert.equal(greeting.value.flags & (capability.compress | capability.localFiles), 0);
    assert.equal(greeting.value.connectionId, 0);
    packets.write(loginPayload(login));
    assert.equal(parseError((await packets.read()) ?? new Uint8Array(0))?.code, 3159);
    first.destroy();
  });

  it("say of a client that looks in and leaves that it closed", async () => {
    const from = router.now();
    const inside = await greeted("plain");
    inside.socket.end();
    const outside = new PacketSocket(connectTcp(ownPort, "127.0.0.1"));
    await outside.read();
    outside.socket.end();
    const closed = (where: string | null) =>
      router.record(({ route, reason }) => route === where && reason === "client_closed", from);
    assert.equal((await closed("plain")).outcome, "served");
    assert.equal((await closed(null)).outcome, "failed");
  });

  it("take ten seconds at most, whoever is slow", async () => {
    const slow = [new PacketSocket(await tunnel("silent")), await greeted("plain")];
    const [fromSilent, toSilent] = await Promise.all(slow.map((packets) => packets.read()));
    for (const said of [fromSilent, toSilent]) {
      const error = parseError(said ?? new Uint8Array(0));
      assert.match(error?.message ?? "", /not logged in within 10000 ms/);
    }
    for (const packets of slow) assert.equal(await packets.read(), null);
    const record = await router.record((one) => one.route === "silent");
    assert.deepEqual([record.outcome, record.reason], ["failed", "protocol_error"]);
  });
});
