import assert from "node:assert/strict";
import { chmodSync, readFileSync, writeFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import mysql2, { type Connection, type ConnectionOptions, type RowDataPacket } from "mysql2/promise";
import type { StatementRecord } from "../../src/core/record.ts";
import { capability } from "../../src/wire/mysql/capabilities.ts";
import { loginPayload } from "../../src/wire/mysql/login.ts";
import { mysqlPacket } from "../../src/wire/mysql/packet.ts";
import { startProxy, type TestProxy } from "../support/local-proxy.ts";
import { type MariaDb, startMariaDb } from "../support/mariadb.ts";
import { PacketSocket } from "../support/mysql-server.ts";
import { freePort } from "../support/ports.ts";
import { missing, program } from "../support/programs.ts";
import { createSite, type Site, sallyport, startRouter, type TestRouter } from "../support/router.ts";
import { type Finished, run } from "../support/run.ts";

const dayMs = 86_400_000;
/** MariaDB's ed25519 is WebCrypto's where the password is as long as a seed. */
const seed = "0123456789abcdef0123456789abcdef";

describe("MySQL routes", { skip: missing("mysql", "mariadbd", "mariadb-install-db") }, () => {
  let site: Site;
  let server: MariaDb;
  let router: TestRouter;
  const proxies: TestProxy[] = [];
  let shopPort = 0;
  let ownPort = 0;
  let separatePort = 0;

  before(async () => {
    site = await createSite(["localhost", "*.example.com"]);
    site.save("mallory", await site.authority.client({ commonName: "mallory", groups: [] }, dayMs));
    const certificate = await site.authority.client({ commonName: "router", groups: [] }, dayMs);
    site.save("router", certificate);
    chmodSync(site.folder, 0o755);
    chmodSync(`${site.folder}/server.key`, 0o644);
    const minting = `${site.folder}/minting`;
    const [command, ...first] = sallyport;
    const init = await run(command, [...first, "ca", "init", "--dir", minting, "--name", "Minting"]);
    assert.equal(init.status, 0, init.err);
    writeFileSync(`${site.folder}/both.crt`, `${file("ca.crt")}\n${file("minting/ca.crt")}`);
    server = await startMariaDb([
      `--ssl-cert=${site.folder}/server.crt`,
      `--ssl-key=${site.folder}/server.key`,
      `--ssl-ca=${site.folder}/both.crt`,
      "--plugin-load-add=auth_ed25519",
      "--log-bin",
      "--server-id=1",
    ]);
    const made = await run(program("mysql"), ["--no-defaults", `--socket=${server.socket}`, "-uroot"], {
      input: [
        "create database orders; create database other;",
        "create table orders.t (id int primary key, word varchar(20)); insert into orders.t values (1,'one'),(2,'two');",
        "create user app@'127.0.0.1' identified by 'hidden'; grant all on *.* to app@'127.0.0.1';",
        "create user payments_ro@'127.0.0.1' identified by 'secret'; grant select on *.* to payments_ro@'127.0.0.1';",
        `create user ed@'127.0.0.1' identified via ed25519 using password('${seed}');`,
        "create user shorted@'127.0.0.1' identified via ed25519 using password('short');",
        "create user minted_ro@'127.0.0.1' require subject '/CN=minted_ro';",
        "create user certain@'127.0.0.1' require subject '/CN=router';",
        "create user empty@'127.0.0.1'; create user nobody@'127.0.0.1';",
        "delimiter //",
        "create procedure orders.two() begin select 1; select id from orders.t; end//",
      ].map((line) => `${line}\n`),
    });
    assert.equal(made.status, 0, made.err);
    shopPort = await freePort();
    ownPort = await freePort();
    separatePort = await freePort();
    const at = `127.0.0.1:${server.port}`;
    const verified = `upstream_tls=verify&upstream_ca=${encodeURIComponent(`${site.folder}/ca.crt`)}&upstream_sni=localhost`;
    router = await startRouter(site, {
      SALLYPORT_LISTENER_MODE: "separate",
      SALLYPORT_PORT_MYSQL: String(separatePort),
      // The clients log in themselves.
      SALLYPORT_ROUTE_SELF: `mysql://${at}?sni=self.example.com&db_user=alice,{group}_ro,empty,nobody`,
      SALLYPORT_ROUTE_SELF_TLS: `mysql://${at}?sni=self-tls.example.com&${verified}`,
      // The router does.
      SALLYPORT_ROUTE_SHOP: `mysql://app:hidden@${at}?sni=shop.example.com&allow=cn:alice&db_name=orders,{cn}_*&db_user=app,{cn}`,
      // MariaDB's clients show no name: their listeners lead to one route each.
      SALLYPORT_ROUTE_SELF_PORT: `mysql://${at}?port=${ownPort}`,
      SALLYPORT_ROUTE_SHOP_PORT: `mysql://app:hidden@${at}?port=${shopPort}&allow=cn:alice`,
      SALLYPORT_ROUTE_PLAIN: `mysql://app:hidden@${at}?sni=plain.example.com&replication=allow&local_infile=allow`,
      SALLYPORT_ROUTE_AUDITED: `mysql://app:hidden@${at}?sni=audited.example.com&audit=statements&local_infile=allow`,
      SALLYPORT_ROUTE_SECURE: `mysql://app:hidden@${at}?sni=secure.example.com&${verified}`,
      SALLYPORT_ROUTE_ED: `mysql://ed:${seed}@${at}?sni=ed.example.com`,
      SALLYPORT_ROUTE_SHORTED: `mysql://shorted:short@${at}?sni=shorted.example.com`,
      SALLYPORT_ROUTE_WRONG: `mysql://app:wrong@${at}?sni=wrong.example.com`,
      SALLYPORT_ROUTE_CERTAIN: `mysql://certain@${at}?sni=certain.example.com&${verified}&upstream_cert=${encodeURIComponent(`${site.folder}/router.crt`)}&upstream_key=${encodeURIComponent(`${site.folder}/router.key`)}`,
      SALLYPORT_CLIENT_CA: `${site.folder}/both.crt`,
      SALLYPORT_AUTHORITY: minting,
      SALLYPORT_ROUTE_MINTED: `mysql://${at}?sni=minted.example.com&${verified}&upstream_cert=authority&db_user=minted_*,certain`,
      SALLYPORT_ROUTE_GONE: "mysql://app:hidden@127.0.0.1:1?sni=gone.example.com",
      SALLYPORT_ROUTE_OPEN: `mysql://app:hidden@${at}?sni=open.example.com&client=optional`,
      SALLYPORT_ROUTE_DISTRUSTED: `mysql://app:hidden@${at}?sni=distrusted.example.com&upstream_tls=verify&upstream_sni=localhost`,
    });
  });
  after(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    await router?.stop();
    server?.stop();
    site?.remove();
  });

  const file = (name: string): string => readFileSync(`${site.folder}/${name}`, "utf8");

  /** TLS to the one port, as the local proxy begins it. */
  const tunnel = (route: string, as: string | null = "alice"): Promise<TLSSocket> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({
        host: "127.0.0.1",
        port: router.port,
        servername: `${route}.example.com`,
        ALPNProtocols: ["sallyport-mysql"],
        ca: file("ca.crt"),
        ...(as === null ? {} : { cert: file(`${as}.crt`), key: file(`${as}.key`) }),
      });
      socket.once("secureConnect", () => resolve(socket));
      socket.once("error", reject);
    });

  /** mysql2 on the one port. */
  async function opened(
    route: string,
    options: ConnectionOptions = {},
    as: string | null = "alice",
  ): Promise<Connection> {
    return mysql2.createConnection({ user: "app", ...options, stream: await tunnel(route, as) });
  }

  async function withDriver<T>(
    route: string,
    use: (connection: Connection) => Promise<T>,
    options: ConnectionOptions = {},
  ): Promise<T> {
    const connection = await opened(route, options);
    try {
      return await use(connection);
    } finally {
      await connection.end();
    }
  }

  const rows = async (connection: Connection, sql: string): Promise<RowDataPacket[]> => {
    const [found] = await connection.query<RowDataPacket[]>(sql);
    return found;
  };

  const cli = (port: number, args: readonly string[], sql: string): Promise<Finished> =>
    run(program("mysql"), [
      "--no-defaults",
      "--protocol=tcp",
      "-h127.0.0.1",
      `-P${port}`,
      "-N",
      ...args,
      "-e",
      sql,
    ]);

  const certificate = (as = "alice"): readonly string[] => [
    "--ssl",
    `--ssl-ca=${site.folder}/ca.crt`,
    `--ssl-cert=${site.folder}/${as}.crt`,
    `--ssl-key=${site.folder}/${as}.key`,
  ];

  const proxied = async (route: string, as = "alice"): Promise<number> => {
    const proxy = await startProxy(site, { router: `localhost:${router.port}`, as }, [
      "db",
      `${route}.example.com`,
      "--protocol",
      "mysql",
    ]);
    proxies.push(proxy);
    return proxy.port;
  };

  describe("on the one port", () => {
    it("log in for their clients, whatever password these send", async () => {
      for (const password of [undefined, "anything"]) {
        await withDriver(
          "plain",
          async (connection) => {
            const [found] = await rows(connection, "select current_user() as user, version() as version");
            assert.equal(found?.user, "app@127.0.0.1");
            assert.match(found?.version, /MariaDB/);
          },
          password === undefined ? {} : { password },
        );
      }
      const record = await router.record((one) => one.route === "plain");
      assert.equal(record.database?.user, "app");
      assert.equal(record.reason, "ok", record.detail ?? "");
    });

    it("speak TLS to the upstream inside the protocol, verified", async () => {
      await withDriver("secure", async (connection) => {
        const [found] = await rows(connection, "show status like 'Ssl_cipher'");
        assert.notEqual(found?.Value, "");
      });
      await assert.rejects(opened("distrusted"), /does not work with us/);
      const record = await router.record((one) => one.route === "distrusted");

      assert.equal(record.reason, "upstream_refused");
    });

    it("log in with a certificate and no password", async () => {
      await withDriver(
        "certain",
        async (connection) => {
          assert.equal(
            (await rows(connection, "select current_user() as user"))[0]?.user,
            "certain@127.0.0.1",
          );
        },
        { user: "certain" },
      );
    });

    it("log in with a certificate made for whom the client asks to be", async () => {
      await withDriver(
        "minted",
        async (connection) => {
          const [found] = await rows(connection, "select current_user() as user");
          assert.equal(found?.user, "minted_ro@127.0.0.1");
        },
        { user: "minted_ro" },
      );
      // The server wants another name in it than the user's.
      await assert.rejects(opened("minted", { user: "certain" }), { code: "ER_ACCESS_DENIED_ERROR" });
      await assert.rejects(opened("minted", { user: "app" }), {
        errno: 1045,
        message: /may not be database user 'app' on route minted, which admits minted_\*, certain/,
      });
    });

    it("log in by MariaDB's ed25519 with a password of 32 bytes, and say so of others", async () => {
      await withDriver(
        "ed",
        async (connection) => {
          assert.equal((await rows(connection, "select current_user() as user"))[0]?.user, "ed@127.0.0.1");
        },
        { user: "ed" },
      );
      await assert.rejects(opened("shorted", { user: "shorted" }), /does not work with us/);
      const record = await router.record((one) => one.route === "shorted");
      assert.match(record.detail ?? "", /client_ed25519 is done with passwords of exactly 32 bytes/);
    });

    it("leave logging in to the clients where they keep no password", async () => {
      for (const route of ["self", "self-tls"]) {
        await withDriver(
          route,
          async (connection) => {
            assert.equal(
              (await rows(connection, "select current_user() as user"))[0]?.user,
              "alice@127.0.0.1",
            );
          },
          { user: "alice", password: "secret", database: "orders" },
        );
        await assert.rejects(opened(route, { user: "alice", password: "wrong" }), {
          code: "ER_ACCESS_DENIED_ERROR",
        });
      }
      await withDriver("self", async (connection) => assert.ok(await rows(connection, "select 1")), {
        user: "empty",
      });
      await withDriver("self", async (connection) => assert.ok(await rows(connection, "select 1")), {
        user: "payments_ro",
        password: "secret",
      });
    });

    it("refuse users and databases that the identity has no right to", async () => {
      await assert.rejects(opened("self", { user: "root" }), {
        errno: 1045,
        message:
          /sallyport: CN=alice,OU=payments may not be database user 'root' on route self, which admits alice, \{group\}_ro/,
      });
      await assert.rejects(opened("plain", { user: "root" }), {
        errno: 1045,
        message: /may not be database user 'root' on route plain: ask for 'app'/,
      });
      await assert.rejects(opened("shop", { database: "other" }), {
        errno: 1044,
        message: /may not open database 'other' on route shop, which admits orders/,
      });
      const record = await router.record((one) => one.route === "shop");
      assert.deepEqual([record.outcome, record.reason], ["refused", "identity_not_allowed"]);
    });

    it("record whom the client asked to be, too", async () => {
      await withDriver("shop", async () => {}, { user: "alice", database: "orders" });
      const record = await router.record((one) => one.route === "shop" && one.outcome === "served");
      assert.equal(record.database?.user, "app");
      assert.equal(record.database?.asked_user, "alice");
      assert.equal(record.database?.name, "orders");
    });

    it("pass the upstream's own refusal on, and nothing of what was tried", async () => {
      await assert.rejects(opened("wrong"), { code: "ER_ACCESS_DENIED_ERROR" });
      const record = await router.record((one) => one.route === "wrong");
      assert.deepEqual([record.outcome, record.reason], ["failed", "upstream_refused"]);
      assert.doesNotMatch(JSON.stringify(record) + router.errors(), /wrong'|hidden/);
    });

    it("say that the database can't be reached", async () => {
      await assert.rejects(opened("gone"), /can't be reached \(connection [0-9a-f-]{36}\)/);
    });

    it("log in for nobody without a certificate", async () => {
      await assert.rejects(opened("open", {}, null), /clients that show a certificate alone/);
      const record = await router.record((one) => one.route === "open");
      assert.equal(record.reason, "client_cert_missing");
    });

    it("tell an identity that is not admitted why", async () => {
      await assert.rejects(opened("shop", {}, "mallory"), /no allow rule of route shop admits CN=mallory/);
    });

    it("keep a client from changing its user where they logged in for it", async () => {
      await withDriver("plain", async (connection) => {
        await assert.rejects(connection.changeUser({ user: "alice", password: "secret" }), {
          errno: 1045,
          message: /sallyport: the user can only be changed by connecting anew/,
        });
        // The connection is as it was.
        assert.equal((await rows(connection, "select current_user() as user"))[0]?.user, "app@127.0.0.1");
      });
    });

    it("hold a change of user to the same rules where the client logs in itself", async () => {
      await withDriver(
        "self",
        async (connection) => {
          await connection.changeUser({ user: "payments_ro", password: "secret", database: "orders" });
          const [found] = await rows(connection, "select current_user() as user, database() as name");
          assert.deepEqual([found?.user, found?.name], ["payments_ro@127.0.0.1", "orders"]);
          await assert.rejects(connection.changeUser({ user: "app", password: "hidden" }), {
            message: /this user is not yours to be/,
          });
          assert.ok(await rows(connection, "select 1"));
        },
        { user: "alice", password: "secret" },
      );
    });

    it("reach no other user by commands under false numbers", async () => {
      const change = Buffer.from("\x11nobody\0\0\0\x2d\0mysql_native_password\0", "latin1");
      const ask = mysqlPacket(0, Buffer.from("\x03select current_user()"));
      // To the server's challenge: nobody has no password.
      const reply = mysqlPacket(2, new Uint8Array(0));
      const load = Buffer.from("\x03select 1");
      const disguises: readonly (readonly Uint8Array[])[] = [
        ...[1, 2, 5, 255].map((sequence) => [mysqlPacket(sequence, change)]),
        // As in a file whose packets' numbers start over, which this route lets servers ask for.
        [mysqlPacket(255, Buffer.from("line")), mysqlPacket(0, change)],
        [mysqlPacket(0, load), mysqlPacket(255, Buffer.from("line")), mysqlPacket(0, change)],
        [mysqlPacket(0, new Uint8Array(0)), mysqlPacket(0, change)],
      ];
      const sayAs = async (route: string, user: string, bytes: readonly Uint8Array[]): Promise<string> => {
        const packets = new PacketSocket(await tunnel(route));
        await packets.read();
        packets.write(
          loginPayload({
            flags: capability.protocol41 | capability.secureConnection | capability.pluginAuth,
            extended: 0,
            maxPacket: 1 << 24,
            charset: 45,
            user,
            answer: new Uint8Array(0),
            database: null,
            plugin: "mysql_native_password",
            attributes: null,
          }),
        );
        assert.equal((await packets.read())?.[0], 0);
        packets.socket.write(Buffer.concat([...bytes, ask, mysqlPacket(0, Uint8Array.of(1))]));
        let said = "";
        // The server ends what it can't count, and what says goodbye.
        for (let packet = await packets.read(); packet !== null; packet = await packets.read())
          said += packet.toString("latin1");
        packets.socket.destroy();
        return said;
      };
      // It would go through, were it not for the rules.
      assert.match(await sayAs("self", "empty", [mysqlPacket(0, change), reply]), /nobody@/);
      for (const [i, disguise] of disguises.entries())
        assert.doesNotMatch(await sayAs("plain", "app", [...disguise, reply]), /nobody@/, String(i));
    });

    it("refuse to change to a database without a right to it, and go on", async () => {
      const port = await proxied("shop");
      const { out, err } = await run(
        program("mysql"),
        ["--no-defaults", "--protocol=tcp", "-h127.0.0.1", `-P${port}`, "-uapp", "-N", "--force"],
        { input: ["use orders\nselect 1;\nuse other\nselect database();\n"] },
      );
      assert.match(err, /ERROR 1044 \(42000\).*sallyport: this database is not yours to open/);
      assert.equal(out, "1\norders\n");
    });

    it("let replication through by rule alone", { skip: missing("mysqlbinlog") }, async () => {
      const dump = (port: number): Promise<Finished> =>
        run(program("mysqlbinlog"), [
          "--no-defaults",
          "--protocol=tcp",
          "-h127.0.0.1",
          `-P${port}`,
          "-uapp",
          "--read-from-remote-server",
          "--base64-output=never",
          "--to-last-log",
          log,
        ]);
      const log = await withDriver("plain", async (connection) =>
        String((await rows(connection, "show master status"))[0]?.File),
      );
      const let_through = await dump(await proxied("plain"));
      assert.match(let_through.out, /create database orders/, let_through.err);
      const refused = await dump(await proxied("secure"));
      assert.match(refused.err, /replication is not allowed on this route/);
    });

    it("let the server ask for files by rule alone", async () => {
      const data = `${site.folder}/data.tsv`;
      // More than 256 packets: their numbers start over within the file, at lines that begin as commands do.
      writeFileSync(data, "\x11\x11\x11\x11\x11\x11\x11\t\x11\x11\x11\x11\x11\x11\x11\n".repeat(400_000));
      const load = `create or replace table orders.loaded (a varchar(10), b varchar(10)); load data local infile '${data}' into table orders.loaded; select count(*) from orders.loaded`;
      const { out, err } = await cli(await proxied("plain"), ["-uapp", "--local-infile"], load);
      assert.equal(out, "400000\n", err);
      const refused = await cli(await proxied("secure"), ["-uapp", "--local-infile"], load);
      assert.match(refused.err, /ERROR (1148|4166)/);
    });

    it("carry what is large and what is compressed elsewhere", async () => {
      await withDriver("plain", async (connection) => {
        await connection.query("set global max_allowed_packet = 67108864");
      });
      const port = await proxied("plain");
      const { out, err } = await cli(
        port,
        ["-uapp", "--compress", "--max-allowed-packet=64M"],
        "select repeat('x', 20000000)",
      );
      assert.equal(out.length, 20_000_001, err);
      await withDriver("plain", async (connection) => {
        const [found] = await connection.query<RowDataPacket[]>("select length(?) as size", [
          "y".repeat(20_000_000),
        ]);
        assert.equal(found[0]?.size, 20_000_000);
        assert.equal((await rows(connection, "select 1 as one"))[0]?.one, 1);
      });
    });

    it("kill a statement on Ctrl-C by its true number", async () => {
      await withDriver("plain", async (connection) => {
        const [found] = await rows(connection, "select connection_id() as id");
        assert.equal(found?.id, connection.threadId);
      });
    });
  });

  describe("on listeners of their own", () => {
    it("greet, begin TLS and log in for mysql", async () => {
      for (let i = 0; i < 2; i++) {
        const { out, err } = await cli(
          shopPort,
          [...certificate(), "-uapp", "-panything", "orders"],
          "select current_user(), database(); select word from t",
        );
        assert.equal(out, "app@127.0.0.1\torders\none\ntwo\n", err);
      }
    });

    it("have the client asked for its password again, to the upstream's challenge", async () => {
      for (let i = 0; i < 2; i++) {
        const { out, err } = await cli(
          ownPort,
          [...certificate(), "-ualice", "-psecret"],
          "select current_user()",
        );
        assert.equal(out, "alice@127.0.0.1\n", err);
      }
      const wrong = await cli(ownPort, [...certificate(), "-ualice", "-pwrong"], "select 1");
      assert.match(wrong.err, /ERROR 1045.*Access denied for user 'alice'/);
      const empty = await cli(ownPort, [...certificate(), "-uempty"], "select 1");
      assert.equal(empty.out, "1\n", empty.err);
    });

    it("greet as the upstream does, once they have seen it", async () => {
      await cli(shopPort, [...certificate(), "-uapp"], "select 1");
      const { out } = await cli(shopPort, [...certificate(), "-uapp"], "\\s");
      assert.match(out, /Server version:\s+\S*MariaDB/);
    });

    it("refuse a client without TLS, in words", async () => {
      const { err } = await cli(shopPort, ["--skip-ssl", "-uapp"], "select 1");
      assert.match(err, /ERROR 3159 \(HY000\).*TLS is required/);
      const record = await router.record((one) => one.reason === "not_tls");
      assert.match(record.detail ?? "", /did not ask for TLS/);
    });

    it("refuse an identity that is not admitted, in words", async () => {
      const { err } = await cli(shopPort, [...certificate("mallory"), "-uapp"], "select 1");
      assert.match(err, /ERROR 1045 \(28000\).*no allow rule of route shop-port admits CN=mallory/);
    });

    it("take mysql2, which says the name in SNI", async () => {
      const options = (host: string): ConnectionOptions => ({
        host,
        port: separatePort,
        user: "app",
        ssl: { ca: file("ca.crt"), cert: file("alice.crt"), key: file("alice.key"), verifyIdentity: true },
      });
      // Whom a name leads to is for SNI alone to say: there is no DNS for these.
      const connection = await mysql2.createConnection({
        ...options("secure.example.com"),
        stream: (await import("node:net")).connect(separatePort, "127.0.0.1"),
      });
      try {
        assert.equal((await rows(connection, "select current_user() as user"))[0]?.user, "app@127.0.0.1");
        const [cipher] = await rows(connection, "show status like 'Ssl_cipher'");
        assert.notEqual(cipher?.Value, "");
      } finally {
        await connection.end();
      }
      const record = await router.record(
        (one) => one.sni === "secure.example.com" && one.listener.endsWith(`:${separatePort}`),
      );
      assert.equal(record.route, "secure");
    });
  });

  describe("with audit=statements", () => {
    const statements = (): readonly StatementRecord[] =>
      (router.records() as unknown as StatementRecord[]).filter(({ event }) => event === "statement");

    it("write a line for each statement, with how it went", async () => {
      const data = `${site.folder}/few.tsv`;
      writeFileSync(data, "7\tseven\n8\teight\n");
      await withDriver(
        "audited",
        async (connection) => {
          await connection.query("select id from t");
          await assert.rejects(connection.query("select * from nowhere"), { errno: 1146 });
          await connection.execute("select word from t where id = ?", [2]);
          await connection.execute("update t set word = ? where id > ?", ["same", 0]);
          await assert.rejects(connection.execute("select * from nowhere where id = ?", [1]));
          await connection.query("select 1; select id from t; insert into t values (3, 'three')");
          await connection.query("call two()");
          await connection.changeUser({ user: "app" }).catch(() => {});
          await connection.ping();
          await connection.query("set @a = repeat('x', 3)");
          await connection
            .query({
              sql: `load data local infile '${data}' into table t`,
              infileStreamFactory: () => import("node:fs").then((fs) => fs.createReadStream(data)) as never,
            })
            .catch(() => {});
        },
        { database: "orders", multipleStatements: true },
      );
      await router.record((one) => one.route === "audited" && one.event === "connection");
      const lines = statements().map(({ statement, error, rows: count, user, database }) => [
        statement,
        error,
        count,
        user,
        database,
      ]);
      const line = (text: string, error: string | null, count: number | null) => [
        text,
        error,
        count,
        "app",
        "orders",
      ];
      assert.deepEqual(lines.slice(0, 7), [
        line("select id from t", null, 2),
        line("select * from nowhere", "1146", null),
        line("select word from t where id = ?", null, 1),
        line("update t set word = ? where id > ?", null, 2),
        line("select * from nowhere where id = ?", "1146", null),
        line("select 1; select id from t; insert into t values (3, 'three')", null, 4),
        line("call two()", null, 4),
      ]);
    });

    it("follow the command-line client, files and the older form of results too", async () => {
      const before = statements().length;
      const data = `${site.folder}/more.tsv`;
      writeFileSync(data, "17\tseven\n18\teight\n");
      const port = await proxied("audited");
      const { err } = await cli(
        port,
        ["-uapp", "--local-infile"],
        `use orders; load data local infile '${data}' into table t; select id from t where id > 10; do sleep(0)`,
      );
      assert.equal(err, "");
      // The client asks for its server's version and database besides, how often is its own affair.
      const lines = () =>
        statements()
          .slice(before)
          .map(({ statement, error, rows: count }) => [statement, error, count])
          .filter(([text]) => !/@@version|DATABASE\(\)/i.test(String(text)));
      for (let i = 0; i < 2400 && lines().length < 4; i++)
        await new Promise((resolve) => setTimeout(resolve, 25));
      assert.deepEqual(lines(), [
        ["USE orders", null, null],
        [`load data local infile '${data}' into table t`, null, 2],
        ["select id from t where id > 10", null, 2],
        ["do sleep(0)", null, 0],
      ]);
    });
  });
});
