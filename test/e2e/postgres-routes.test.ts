import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { ConnectionOptions } from "node:tls";
import pg from "pg";
import postgres from "postgres";
import type { StatementRecord } from "../../src/core/record.ts";
import { agentHere } from "../support/agents.ts";
import { dialTcp, firstBytes, readAll, dial as tlsDial } from "../support/client.ts";
import { startProxy, type TestProxy } from "../support/local-proxy.ts";
import { freePort } from "../support/ports.ts";
import { newestLibpq, type Postgres, startPostgres } from "../support/postgres.ts";
import { missing, program } from "../support/programs.ts";
import {
  createSite,
  environment,
  type Site,
  sallyport,
  startRouter,
  type TestRouter,
} from "../support/router.ts";
import { type Finished, run } from "../support/run.ts";

const dayMs = 86_400_000;
const newest = newestLibpq === undefined ? "no Postgres from npm on this platform" : false;

/** The records that docs/databases.md shows: of a connection, and of a statement. */
const [shownConnection, shownStatement] = [
  ...readFileSync("docs/databases.md", "utf8").matchAll(/^```json\n(.*)\n```/gm),
].map(([, line = ""]) => JSON.parse(line));

let site: Site;
let server: Postgres;
let router: TestRouter;
let ownPort = 0;
let separatePort = 0;
/** Says nothing after its handshake: what it hears is looked at when the rest is done. */
let silent: Promise<Buffer>;

const roles = `
  create role app login; create role alice login; create role ro_reports login; create role repl login replication;
  create role plain login password 'plain''s secret';
  create role scrammer login password 'Sésame, ouvre-toi';
  create role certer login;
  set password_encryption = 'md5'; create role oldie login password 'old secret';
  create database orders; grant pg_read_all_data to app;
  create table numbers (n int primary key); insert into numbers select generate_series(1, 1000);
  grant all on numbers to app, alice; grant create on schema public to app;
`;

const file = (name: string): string => join(site.folder, name);

interface How {
  readonly as?: string | null;
  /** libpq of Postgres 18, and TLS from the first byte on. */
  readonly direct?: boolean;
  readonly more?: string;
  readonly env?: Readonly<Record<string, string>>;
}

const connection = (route: string, user: string, { as = "alice", direct = false, more = "" }: How): string =>
  [
    `host=${route}.example.com hostaddr=127.0.0.1 port=${router.port} user=${user} connect_timeout=20`,
    `sslmode=verify-full sslrootcert=${file("ca.crt")}`,
    ...(as === null ? ["sslcert=/nowhere"] : [`sslcert=${file(`${as}.crt`)} sslkey=${file(`${as}.key`)}`]),
    ...(direct ? ["sslnegotiation=direct"] : []),
    more,
  ].join(" ");

const psqlEnv = ({ direct = false, env = {} }: How): NodeJS.ProcessEnv => ({
  PATH: process.env.PATH,
  HOME: site.folder,
  ...(direct ? { LD_LIBRARY_PATH: newestLibpq } : {}),
  ...env,
});

const psqlArgs = (route: string, user: string, how: How): string[] => [
  "--no-psqlrc",
  "--no-password",
  "--tuples-only",
  "--no-align",
  connection(route, user, how),
];

/** Runs SQL through the router. */
const psql = (
  route: string,
  user: string,
  sql: string | readonly string[],
  how: How = {},
): Promise<Finished> =>
  run(program("psql"), [...psqlArgs(route, user, how), ...[sql].flat().map((one) => `--command=${one}`)], {
    env: psqlEnv(how),
    ms: 60_000,
  });

async function good(
  route: string,
  user: string,
  sql: string | readonly string[],
  how: How = {},
): Promise<string> {
  const { status, out, err } = await psql(route, user, sql, how);
  assert.equal(status, 0, err);
  return out.trim();
}

async function refused(route: string, user: string, words: RegExp, how: How = {}): Promise<void> {
  const { status, out, err } = await psql(route, user, "select 'in'", how);
  assert.equal(status, 2, out + err);
  assert.match(err, words);
}

const who = "select current_user || ' ' || current_database()";

/** What a Node driver needs of TLS. */
const tls = (as = "alice"): ConnectionOptions & { ca: Buffer } => ({
  ca: readFileSync(file("ca.crt")),
  cert: readFileSync(file(`${as}.crt`)),
  key: readFileSync(file(`${as}.key`)),
});

describe("Postgres by name", { skip: missing("psql", "initdb", "pgbench") || newest }, () => {
  before(async () => {
    site = await createSite(["localhost", "*.example.com"]);
    site.save("mallory", await site.authority.client({ commonName: "mallory" }, dayMs));
    site.save("alice2", await site.authority.client({ commonName: "alice", groups: ["payments"] }, dayMs));
    site.save("certer", await site.authority.client({ commonName: "certer" }, dayMs));
    server = await startPostgres(
      "newest",
      { cert: file("server.crt"), key: file("server.key") },
      {
        access: [
          "hostssl all certer 127.0.0.1/32 cert",
          "host all certer 127.0.0.1/32 reject",
          "host all plain 127.0.0.1/32 password",
          "host all oldie 127.0.0.1/32 md5",
          "host all scrammer 127.0.0.1/32 scram-sha-256",
        ],
        clientCa: file("ca.crt"),
      },
    );
    const made = await run(
      program("psql"),
      [
        "-X",
        "-v",
        "ON_ERROR_STOP=1",
        "-f",
        "-",
        `host=127.0.0.1 port=${server.port} user=postgres dbname=postgres`,
      ],
      { env: { PATH: process.env.PATH }, input: [roles] },
    );
    assert.equal(made.status, 0, made.err);
    const at = `127.0.0.1:${server.port}`;
    ownPort = await freePort();
    separatePort = await freePort();
    const inTls = `upstream_tls=verify&upstream_sni=localhost&upstream_ca=${file("ca.crt")}`;
    router = await startRouter(site, {
      SALLYPORT_ROUTE_OWN: `postgres://app@${at}?sni=own.example.com`,
      SALLYPORT_ROUTE_MAPPED: `postgres://app@${at}?sni=mapped.example.com&db_user={cn},ro_*&db_name=postgres,orders,{cn}`,
      SALLYPORT_ROUTE_ASKED: `postgres://${at}?sni=asked.example.com&db_user={cn},ro_*`,
      SALLYPORT_ROUTE_TLS: `postgres://${at}?sni=tls.example.com&${inTls}`,
      SALLYPORT_ROUTE_OPTIONAL: `postgres://app@${at}?sni=optional.example.com&client=optional`,
      SALLYPORT_ROUTE_ALLOWED: `postgres://app@${at}?sni=allowed.example.com&allow=group:payments`,
      SALLYPORT_ROUTE_PLAIN: `postgres://plain:\${PLAIN}@${at}?sni=plain.example.com&db_user=*&db_name=postgres`,
      SALLYPORT_ROUTE_OLD: `postgres://oldie:old%20secret@${at}?sni=old.example.com&db_user=*&db_name=postgres&${inTls}`,
      SALLYPORT_ROUTE_SCRAM: `postgres://scrammer:\${SESAME}@${at}?sni=scram.example.com&db_user=*&db_name=postgres&${inTls}`,
      SALLYPORT_ROUTE_WRONG: `postgres://scrammer:wrong@${at}?sni=wrong.example.com&db_user=*&db_name=postgres`,
      SALLYPORT_ROUTE_CERT: `postgres://certer@${at}?sni=cert.example.com&db_user=*&db_name=postgres&${inTls}&upstream_cert=${file("certer.crt")}&upstream_key=${file("certer.key")}`,
      SALLYPORT_ROUTE_PORT: `postgres://app@${at}?port=${ownPort}`,
      SALLYPORT_TUNNEL_ALLOW: "edge=cn:alice",
      SALLYPORT_PORT_TUNNEL: "0",
      SALLYPORT_ROUTE_AGENT: `postgres://scrammer:\${SESAME}@db?sni=agent.example.com&via=edge&db_user=*&db_name=postgres&${inTls}`,
      SALLYPORT_LISTENER_MODE: "separate",
      SALLYPORT_PORT_POSTGRES: String(separatePort),
      SALLYPORT_ROUTE_NOWHERE: "postgres://app@127.0.0.1:1?sni=nowhere.example.com",
      SALLYPORT_ROUTE_REPLICA: `postgres://repl@${at}?sni=replica.example.com&replication=allow`,
      SALLYPORT_ROUTE_REPLICA_ONE: `postgres://repl@${at}?sni=replica-one.example.com&replication=allow&db_name=postgres&startup_options=refuse`,
      SALLYPORT_ROUTE_AUDITED: `postgres://app@${at}?sni=audited.example.com&db_user={cn}&db_name=postgres&audit=statements`,
      PLAIN: "plain's secret",
      SESAME: "Sésame, ouvre-toi",
    });
    const socket = await tlsDial(site, router.port, "own.example.com", { ALPNProtocols: ["postgresql"] });
    silent = readAll(socket, 25_000);
  });
  after(async () => {
    await router?.stop();
    server?.stop();
    site?.remove();
  });

  it("is reached by way of an agent, TLS to the server and the router's credentials with it", async () => {
    const edge = await agentHere(site, router.port, "alice", "edge", {
      db: { host: "127.0.0.1", port: server.port },
    });
    await edge.until(/^connected/);
    const inPostgres = { more: "dbname=postgres" };
    const sql = "select current_user, count(*), sum(length(repeat('x', n))) from generate_series(1, 9000) n";
    assert.equal(await good("agent", "any", sql, inPostgres), "scrammer|9000|40504500");
    const rows = await good(
      "agent",
      "any",
      "select repeat('y', 1000) from generate_series(1, 3000)",
      inPostgres,
    );
    assert.equal(rows.length, 3000 * 1001 - 1);
    const record = await router.record(({ route }) => route === "agent");
    assert.deepEqual([record.outcome, record.upstream], ["served", "edge/db"]);
    edge.agent.stop();
  });

  describe("who may be whom", () => {
    it("one user for all: asked for by name", async () => {
      assert.equal(await good("own", "app", who, { more: "dbname=postgres" }), "app postgres");
      const record = await router.record(({ route }) => route === "own");
      assert.equal(record.outcome, "served");
      const { started, ...database } = record.database ?? { started: "" };
      assert.deepEqual(database, { user: "app", asked_user: null, name: "postgres" });
      assert.match(started, /^\d{4}-/);
    });

    it("and no other; the refusal says which", () =>
      refused(
        "own",
        "postgres",
        /FATAL: {2}sallyport: CN=alice,OU=payments may not be user "postgres" on route own: ask for user "app"/,
      ));

    it("the user that a rule gives is another one upstream, and the database stays the one that was meant", async () => {
      assert.equal(await good("mapped", "alice", who, { more: "dbname=orders" }), "app orders");
      const record = await router.record(({ route, outcome }) => route === "mapped" && outcome === "served");
      const { started: _, ...database } = record.database ?? { started: "" };
      assert.deepEqual(database, { user: "app", asked_user: "alice", name: "orders" });
      const { database: shown, identity, route: _route, event } = shownConnection;
      assert.deepEqual({ ...database, started: shown.started }, shown);
      assert.deepEqual(Object.keys(record.database ?? {}), Object.keys(shown));
      assert.deepEqual([record.identity?.subject, record.event], [identity.subject, event]);
      // Without a database the client means the one with its own name.
      await refused("mapped", "alice", /database "alice" does not exist/, { env: { PGDATABASE: "alice" } });
    });

    it("wildcards and what the certificate says", async () => {
      assert.equal(
        await good("asked", "ro_reports", who, { more: "dbname=postgres" }),
        "ro_reports postgres",
      );
      await refused("asked", "app", /may not be user "app" on route asked: expected \{cn\}, ro_\*/, {
        more: "dbname=postgres",
      });
      await refused("asked", "alice", /CN=mallory may not be user "alice"/, {
        as: "mallory",
        more: "dbname=postgres",
      });
    });

    it("databases", async () => {
      await refused(
        "mapped",
        "alice",
        /may not open database "template1" on route mapped: expected postgres, orders, \{cn\}/,
        {
          more: "dbname=template1",
        },
      );
      const record = await router.record(({ route, outcome }) => route === "mapped" && outcome === "refused");
      assert.equal(record.reason, "identity_not_allowed");
    });

    it("who has no certificate is nobody where the router logs in", async () => {
      await refused("optional", "app", /FATAL: {2}sallyport: a client certificate is required/, { as: null });
      await router.record(({ route, reason }) => route === "optional" && reason === "client_cert_missing");
    });

    for (const direct of [false, true]) {
      it(`who is not admitted hears it in Postgres's words${direct ? ", TLS first" : ""}`, () =>
        refused("allowed", "app", /FATAL: {2}sallyport: refused \(identity_not_allowed\).*CN=mallory/, {
          as: "mallory",
          direct,
        }));
    }
  });

  describe("logging in at the upstream", () => {
    for (const [route, user] of [
      ["plain", "plain"],
      ["old", "oldie"],
      ["scram", "scrammer"],
      ["cert", "certer"],
    ] as const) {
      it(`with ${route}`, async () =>
        assert.equal(await good(route, "anybody", who, { more: "dbname=postgres" }), `${user} postgres`));
    }

    it("a password that is wrong: the upstream's own words, none of ours", async () => {
      await refused("wrong", "x", /FATAL: {2}password authentication failed for user "scrammer"/, {
        more: "dbname=postgres",
      });
      const record = await router.record(({ route }) => route === "wrong");
      assert.equal(record.reason, "upstream_refused");
      assert.match(record.detail ?? "", /28P01/);
    });

    it("an upstream that is not there", () =>
      refused("nowhere", "app", /FATAL: {2}sallyport: the database of route nowhere can't be reached$/m, {
        more: "dbname=x",
      }));

    it("a certificate that the authority makes for the user", async (test) => {
      const ca = file("authority");
      const [command, ...first] = sallyport;
      const made = await run(command, [...first, "ca", "init", "--dir", ca, "--name", "Minting"], {
        env: environment({}),
        ms: 60_000,
      });
      assert.equal(made.status, 0, made.err);
      const trusting = await startPostgres(
        "installed",
        { cert: file("server.crt"), key: file("server.key") },
        { access: ["hostssl all all 127.0.0.1/32 cert"], clientCa: join(ca, "ca.crt") },
      );
      test.after(() => trusting.stop());
      const minting = await startRouter(site, {
        SALLYPORT_AUTHORITY: ca,
        SALLYPORT_CLIENT_CA: `${readFileSync(file("ca.crt"), "utf8")}\n${readFileSync(join(ca, "ca.crt"), "utf8")}`,
        SALLYPORT_HOST: "localhost",
        SALLYPORT_ROUTE_MINTED: `postgres://127.0.0.1:${trusting.port}?sni=minted.example.com&db_user=postgres,nobody&upstream_cert=authority&upstream_tls=verify&upstream_sni=localhost&upstream_ca=${file("ca.crt")}`,
      });
      test.after(() => minting.stop());
      const as = (user: string) =>
        connection("minted", user, { more: "dbname=postgres" }).replace(
          `port=${router.port}`,
          `port=${minting.port}`,
        );
      const env = psqlEnv({});
      const { out, err } = await run(program("psql"), ["-XtAc", who, as("postgres")], { env });
      assert.equal(out, "postgres postgres\n", err);
      const other = await run(program("psql"), ["-XtAc", who, as("app")], { env });
      assert.match(other.err, /CN=alice,OU=payments may not be user "app"/);
    });

    describe("by the client itself", () => {
      const as = (user: string, password: string, more = ""): [string, string, string, How] => [
        "tls",
        user,
        who,
        { env: { PGPASSWORD: password }, more: `dbname=postgres ${more}` },
      ];
      it("with a password", async () =>
        assert.equal(await good(...as("plain", "plain's secret")), "plain postgres"));
      it("with md5", async () => assert.equal(await good(...as("oldie", "old secret")), "oldie postgres"));
      it("with SCRAM", async () =>
        assert.equal(
          await good(...as("scrammer", "Sésame, ouvre-toi", "channel_binding=disable")),
          "scrammer postgres",
        ));
      it("with SCRAM bound to TLS: what to do instead", () =>
        refused("tls", "scrammer", /connect with channel_binding=disable/, {
          env: { PGPASSWORD: "Sésame, ouvre-toi" },
          more: "dbname=postgres",
        }));
      it("with a wrong one", () =>
        refused("tls", "plain", /password authentication failed/, {
          env: { PGPASSWORD: "wrong" },
          more: "dbname=postgres",
        }));
    });
  });

  describe("how a connection begins", () => {
    it("TLS first, and in answer to SSLRequest, with both libpqs", async () => {
      for (const direct of [true, false])
        assert.equal(await good("own", "app", who, { direct, more: "dbname=postgres" }), "app postgres");
      assert.equal(
        await good("own", "app", who, {
          env: { LD_LIBRARY_PATH: newestLibpq ?? "" },
          more: "dbname=postgres",
        }),
        "app postgres",
      );
    });

    it("on a port of the route's own, without a name", async () => {
      const more = `dbname=postgres host=localhost sslsni=0 port=${ownPort}`;
      assert.equal(await good("own", "app", who, { more }), "app postgres");
    });

    it("on the listener of the protocol's own", async () => {
      const more = `dbname=postgres port=${separatePort}`;
      assert.equal(await good("own", "app", who, { more }), "app postgres");
    });

    it("protocol 3.2, which the upstream speaks too", async () => {
      const more = "dbname=postgres min_protocol_version=3.2 max_protocol_version=3.2";
      assert.equal(await good("own", "app", who, { direct: true, more }), "app postgres");
    });

    /** A first message, its length in front. */
    const first = (text: string): Buffer => {
      const bytes = Buffer.alloc(4 + text.length);
      bytes.writeUInt32BE(bytes.length);
      bytes.write(text, 4, "latin1");
      return bytes;
    };
    const ssl = first("\u0004\u00d2\u0016\u002f");
    const gss = first("\u0004\u00d2\u0016\u0030");
    const startup = first("\0\u0003\0\0user\0app\0\0");

    it("GSSAPI is declined once, and TLS then taken, byte by byte", async () => {
      const socket = await dialTcp(router.port);
      for (const byte of gss) socket.write(Buffer.from([byte]));
      assert.equal((await firstBytes(socket))?.toString(), "N");
      for (const byte of ssl) socket.write(Buffer.from([byte]));
      assert.equal((await firstBytes(socket))?.toString(), "S");
      socket.destroy();
    });

    const hears = async (...parts: readonly Buffer[]): Promise<string> => {
      const socket: Socket = await dialTcp(router.port);
      socket.write(Buffer.concat(parts));
      return (await readAll(socket)).toString("latin1");
    };
    it("GSSAPI again and again is an error", async () => {
      const socket = await dialTcp(router.port);
      socket.write(gss);
      assert.equal((await firstBytes(socket))?.toString(), "N");
      socket.write(gss);
      assert.match((await readAll(socket)).toString(), /^E.*C08P01/s);
    });
    it("bytes behind SSLRequest are an attack", async () => {
      assert.match(await hears(ssl, startup), /^E.*FATAL.*in front of the TLS handshake/s);
      assert.match(await hears(gss, startup), /^E.*FATAL/s);
    });
    it("in the clear there is nothing but advice", async () =>
      assert.match(await hears(startup), /^E.*C28000\0Msallyport: this port wants TLS/s));
    it("a client that changes its mind hears nothing", async () => {
      const socket = await tlsDial(site, router.port, "own.example.com", { ALPNProtocols: ["postgresql"] });
      socket.write(Buffer.from([0x58, 0, 0, 0, 4]));
      assert.equal((await readAll(socket)).length, 0);
    });
    it("TLS is not begun inside TLS", async () => {
      const socket = await tlsDial(site, router.port, "own.example.com", { ALPNProtocols: ["postgresql"] });
      socket.write(ssl);
      assert.match((await readAll(socket)).toString(), /^E.*encryption was asked for inside of TLS/s);
    });
    for (const [what, bytes, words] of [
      ["a user twice", "user\0app\0user\0postgres\0database\0postgres\0\0", /stands there twice/],
      ["no user", "database\0postgres\0\0", /no user name/],
      ["a name that would be cut", `user\0app\0database\0${"a".repeat(64)}\0\0`, /more than 63 bytes/],
      ["bytes behind the end", "user\0app\0\0x", /behind the startup message's end/],
      ["no end", "user\0app", /no value|no end/],
    ] as const) {
      it(`${what} is refused`, async () => {
        const socket = await tlsDial(site, router.port, "own.example.com", { ALPNProtocols: ["postgresql"] });
        socket.write(first(`\0\u0003\0\0${bytes}`));
        assert.match((await readAll(socket)).toString(), new RegExp(`^E[^]*${words.source}`));
      });
    }

    it("extensions of the protocol that nobody knows are named as such", async () => {
      const socket = await tlsDial(site, router.port, "own.example.com", { ALPNProtocols: ["postgresql"] });
      socket.write(first("\0\u0003\u0027\u000fuser\0app\0database\0postgres\0_pq_.magic\0on\0\0"));
      const answer = (await firstBytes(socket))?.toString("latin1") ?? "";
      socket.destroy();
      assert.equal(answer.slice(5, answer.indexOf("R")), "\0\u0003\0\u0002\0\0\0\u0001_pq_.magic\0");
      assert.equal(answer[0], "v");
    });
  });

  describe("replication", () => {
    it("is refused unless the route takes it", () =>
      refused("own", "app", /route own takes no replication connections/, {
        more: "replication=database dbname=postgres",
      }));
    it("of the whole cluster, where the route takes it", async () =>
      assert.match(
        await good("replica", "repl", "IDENTIFY_SYSTEM", { more: "replication=true" }),
        /^\d+\|1\|/,
      ));
    it("of one database, where databases are limited; not of the whole cluster", async () => {
      const one = await good("replica-one", "repl", "IDENTIFY_SYSTEM", {
        more: "replication=database dbname=postgres",
      });
      assert.match(one, /\|postgres$/);
      await refused("replica-one", "repl", /replication of the whole cluster/, { more: "replication=1" });
    });
    it("options, where the route takes none", () =>
      refused("replica-one", "repl", /takes no options/, {
        more: "dbname=postgres options='-c work_mem=1MB'",
      }));
  });

  /** Until so many queries with that label run at the server. */
  const running = async (label: string, count: number): Promise<void> => {
    const asked = `select count(*) from pg_stat_activity where state = 'active' and query like 'select ''${label}''%'`;
    for (let i = 0; i < 1200; i++) {
      const { out } = await run(
        program("psql"),
        ["-XtAc", asked, `host=127.0.0.1 port=${server.port} user=postgres dbname=postgres`],
        { env: { PATH: process.env.PATH } },
      );
      if (out.trim() === String(count)) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error(`${label} is not ${count === 0 ? "over" : "running"}`);
  };

  describe("cancelling", () => {
    /** A psql that runs a query which is to be cancelled. */
    const sleeping = async (
      label: string,
      how: How,
    ): Promise<{ child: ChildProcess; ended: Promise<string> }> => {
      const child = spawn(
        program("psql"),
        [...psqlArgs("own", "app", how), "--command", `select '${label}', pg_sleep(60)`],
        { env: psqlEnv(how) },
      );
      let err = "";
      child.stderr.on("data", (chunk) => {
        err += chunk;
      });
      const late = setTimeout(() => child.kill("SIGKILL"), 60_000);
      const ended = new Promise<string>((resolve) =>
        child.once("close", () => {
          clearTimeout(late);
          resolve(err);
        }),
      );
      await running(label, 1);
      return { child, ended };
    };
    it("Ctrl-C in psql, whose request comes in the clear", async () => {
      const { child, ended } = await sleeping("clear", { more: "dbname=postgres" });
      child.kill("SIGINT");
      assert.match(await ended, /canceling statement due to user request/);
    });

    it("Ctrl-C with a key of protocol 3.2, which is longer", async () => {
      const more = "dbname=postgres min_protocol_version=3.2 max_protocol_version=3.2";
      const { child, ended } = await sleeping("longer", { direct: true, more });
      child.kill("SIGINT");
      assert.match(await ended, /canceling statement due to user request/);
    });

    it("by a driver whose request is encrypted", async (test) => {
      const client = new pg.Client({
        host: "127.0.0.1",
        port: router.port,
        user: "app",
        database: "postgres",
        ssl: { ...tls(), servername: "own.example.com" },
      });
      test.after(() => client.end().catch(() => {}));
      await client.connect();
      const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
      const query = client.query("select 'encrypted', pg_sleep(60)");
      query.catch(() => {});
      await running("encrypted", 1);
      const request = Buffer.alloc(16);
      request.writeUInt32BE(16, 0);
      request.writeUInt32BE(80877102, 4);
      request.writeInt32BE(processID, 8);
      request.writeInt32BE(secretKey, 12);
      const cancelAs = async (as: string, name = "own.example.com"): Promise<void> => {
        const socket = await tlsDial(site, router.port, name, { as, ALPNProtocols: ["postgresql"] });
        socket.write(request);
        assert.equal((await readAll(socket)).length, 0);
      };
      // The right key in the wrong hands, or at another name, is as good as a wrong one.
      await cancelAs("mallory");
      await cancelAs("alice", "allowed.example.com");
      await running("encrypted", 1);
      // The same person with a certificate that was renewed meanwhile.
      await cancelAs("alice2");
      await assert.rejects(query, /canceling statement due to user request/);
      assert.ok(processID > 0);
    });

    it("wrong keys tell nothing, and soon are not looked at", async () => {
      const request = Buffer.from([0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 7, 0, 0, 0, 9]);
      for (let i = 0; i < 12; i++) {
        const socket = await tlsDial(site, router.port, "own.example.com", {
          as: "mallory",
          ALPNProtocols: ["postgresql"],
        });
        socket.write(request);
        assert.equal((await readAll(socket)).length, 0);
      }
      await router.record(
        ({ detail, identity, outcome }) =>
          detail?.includes("request to cancel") === true &&
          identity?.subject === "CN=mallory" &&
          outcome === "refused",
      );
    });
  });

  describe("drivers", () => {
    for (const negotiation of ["postgres", "direct"] as const) {
      it(`pg, sslnegotiation=${negotiation}`, async () => {
        const pool = new pg.Pool({
          host: "127.0.0.1",
          port: router.port,
          user: "alice",
          database: "orders",
          password: "whatever it is, nobody asks",
          max: 4,
          ssl: { ...tls(), servername: "mapped.example.com" },
          ...(negotiation === "direct" ? { sslnegotiation: "direct" } : {}),
        } as pg.PoolConfig);
        try {
          const results = await Promise.all(
            Array.from({ length: 8 }, (_, i) =>
              pool.query("select $1::int * 2 as n, current_user as u", [i]),
            ),
          );
          assert.deepEqual(
            results.map(({ rows: [row] }) => [row.n, row.u]),
            Array.from({ length: 8 }, (_, i) => [2 * i, "app"]),
          );
          await assert.rejects(pool.query("select nonsense"), { code: "42703" });
        } finally {
          await pool.end();
        }
      });

      it(`postgres, sslnegotiation=${negotiation}`, async () => {
        const sql = postgres({
          host: "127.0.0.1",
          port: router.port,
          user: "alice",
          database: "orders",
          max: 2,
          ssl: { ...tls(), servername: "mapped.example.com" },
          ...(negotiation === "direct" ? { sslnegotiation: "direct" } : {}),
        } as postgres.Options<Record<string, never>>);
        try {
          const [row] = await sql`select ${21}::int * 2 as n, current_database() as d`;
          assert.deepEqual([row?.n, row?.d], [42, "orders"]);
          const label = `library ${negotiation}`;
          const query = sql.unsafe(`select '${label}', pg_sleep(60)`);
          const cancelled = assert.rejects(query, /cancel/);
          await running(label, 1);
          query.cancel();
          await cancelled;
        } finally {
          await sql.end({ timeout: 5 });
        }
      });
    }

    it("pgbench, COPY and results that are large", async () => {
      const how = { more: "dbname=postgres" };
      const large = await good("own", "app", "select repeat('x', 1000) from generate_series(1, 20000)", how);
      assert.equal(large.length, 20_000 * 1001 - 1);
      const copied = await good("own", "app", ["copy (select * from numbers) to stdout"], how);
      assert.equal(copied.split("\n").length, 1000);
      const bench = await run(
        program("pgbench"),
        ["-n", "-c", "8", "-t", "50", "-f", "-", connection("own", "app", how)],
        { env: psqlEnv({}), input: ["select n from numbers where n = 7;\n"], ms: 60_000 },
      );
      assert.match(bench.out, /number of transactions actually processed: 400\/400/, bench.err);
    });
  });

  describe("through the local proxy", () => {
    let proxy: TestProxy;
    before(async () => {
      proxy = await startProxy(site, { router: `localhost:${router.port}` }, ["db", "mapped"]);
    });
    after(() => proxy?.stop());
    const local = (sql: string, more = ""): Promise<Finished> =>
      run(
        program("psql"),
        ["-XtAc", sql, `host=localhost port=${proxy.port} user=alice dbname=orders sslmode=disable ${more}`],
        { env: { PATH: process.env.PATH, HOME: site.folder }, ms: 60_000 },
      );
    it("psql without TLS, password or certificate", async () => {
      const { out, err } = await local(who);
      assert.equal(out, "app orders\n", err);
    });
    it("is told why not", async () => {
      const { err } = await local(who, "dbname=postgres user=app");
      assert.match(err, /FATAL: {2}sallyport: CN=alice,OU=payments may not be user "app" on route mapped/);
    });
    it("Ctrl-C", async () => {
      const child = spawn(
        program("psql"),
        [
          "-XtAc",
          "select 'local', pg_sleep(60)",
          `host=localhost port=${proxy.port} user=alice dbname=orders`,
        ],
        { env: { PATH: process.env.PATH, HOME: site.folder } },
      );
      const late = setTimeout(() => child.kill("SIGKILL"), 60_000);
      let err = "";
      child.stderr.on("data", (chunk) => {
        err += chunk;
      });
      const ended = new Promise((resolve) => child.once("close", resolve));
      await running("local", 1);
      child.kill("SIGINT");
      await ended;
      clearTimeout(late);
      assert.match(err, /canceling statement due to user request/);
    });
  });

  describe("an audit of statements", () => {
    const statements = (): StatementRecord[] =>
      (router.records() as unknown as StatementRecord[]).filter(({ event }) => event === "statement");
    /** Those of the session in which this ran last; written once they are over. */
    const after = async (mark: string): Promise<StatementRecord[]> => {
      for (let i = 0; i < 2400; i++) {
        const last = statements().findLast(({ statement }) => statement === mark);
        if (last !== undefined) return statements().filter(({ id }) => id === last.id);
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
      throw new Error(`${mark} is not among ${JSON.stringify(statements(), null, 1)}`);
    };
    const short = (records: readonly StatementRecord[]) =>
      records.map(({ statement, error, rows }) => [statement, error, rows]);

    it("has what psql did", async () => {
      const how = { more: "dbname=postgres" };
      await psql(
        "audited",
        "alice",
        ["select n from numbers limit 3", "select nonsense", "create temp table t (n int)", "select 'over'"],
        how,
      );
      const records = await after("select 'over'");
      assert.deepEqual(short(records), [
        ["select n from numbers limit 3", null, 3],
        ["select nonsense", "42703", null],
        ["create temp table t (n int)", null, null],
        ["select 'over'", null, 1],
      ]);
      const [first] = records;
      assert.deepEqual(
        [first?.subject, first?.user, first?.database, first?.outcome, first?.cut],
        ["CN=alice,OU=payments", "app", "postgres", "ok", 0],
      );
      assert.deepEqual(Object.keys(first ?? {}), [...Object.keys(shownStatement), "seq", "chain"]);
      const { event, adapter, subject, user, cut, outcome, error } = shownStatement;
      assert.deepEqual({ ...first, event, adapter, subject, user, cut, outcome, error }, first);
    });

    it("has COPY, both ways", async () => {
      const { err } = await run(
        program("psql"),
        [...psqlArgs("audited", "alice", { more: "dbname=postgres" }), "-f", "-"],
        {
          env: psqlEnv({}),
          input: [
            "create temp table c (n int);\ncopy c from stdin;\n1\n2\n\\.\ncopy c to stdout;\ncopy c from stdin;\nx\n\\.\nselect 'copied';\n",
          ],
        },
      );
      assert.match(err, /invalid input syntax/);
      assert.deepEqual(short(await after("select 'copied';")), [
        ["create temp table c (n int);", null, null],
        ["copy c from stdin;", null, 2],
        ["copy c to stdout;", null, 2],
        ["copy c from stdin;", "22P02", null],
        ["select 'copied';", null, 1],
      ]);
    });

    it("has what drivers prepare, bind and pipeline", async () => {
      const sql = postgres({
        host: "127.0.0.1",
        port: router.port,
        user: "alice",
        database: "postgres",
        max: 1,
        fetch_types: false,
        ssl: { ...tls(), servername: "audited.example.com" },
      });
      try {
        await Promise.allSettled([
          sql`select n from numbers where n < ${4}`,
          sql`select 1 / ${0}::int`,
          sql`select n from numbers where n < ${10}`,
          sql`select ${"done"}::text`,
        ]);
      } finally {
        await sql.end({ timeout: 5 });
      }
      const records = await after("select $1::text");
      assert.deepEqual(short(records), [
        ["select n from numbers where n < $1", null, 3],
        ["select 1 / $1::int", "22012", null],
        ["select n from numbers where n < $1", null, 9],
        ["select $1::text", null, 1],
      ]);
    });

    it("cuts what is long, and says how much", async () => {
      const text = `select length('${"x".repeat(100_000)}')`;
      const client = new pg.Client({
        host: "127.0.0.1",
        port: router.port,
        user: "alice",
        database: "postgres",
        ssl: { ...tls(), servername: "audited.example.com" },
      });
      await client.connect();
      try {
        assert.equal((await client.query(text)).rows[0].length, 100_000);
        await client.query("select 'long'");
      } finally {
        await client.end();
      }
      const [first] = await after("select 'long'");
      assert.equal(first?.statement, text.slice(0, 4096));
      assert.ok(Math.abs((first?.cut ?? 0) - (text.length - 4096)) <= 1);
    });

    it("ends a session that it can't follow", async () => {
      const client = new pg.Client({
        host: "127.0.0.1",
        port: router.port,
        user: "alice",
        database: "postgres",
        ssl: { ...tls(), servername: "audited.example.com" },
      });
      client.on("error", () => {});
      await client.connect();
      const stream = (client as unknown as { connection: { stream: Socket } }).connection.stream;
      const ended = new Promise((resolve) => stream.once("close", resolve));
      const body = `${"n".repeat(1025)}\0select 'unseen'\0\0\0`;
      const head = Buffer.alloc(5, "P");
      head.writeUInt32BE(4 + body.length, 1);
      stream.write(Buffer.concat([head, Buffer.from(body)]));
      await ended;
      const record = await router.record(({ detail }) => detail?.includes("can't be followed") === true);
      assert.equal(record.reason, "protocol_error");
    });

    it("is nowhere else", () => assert.ok(statements().every(({ route }) => route === "audited")));
  });

  it("does not wait for ever for a client's first word", async () => {
    assert.match((await silent).toString(), /^E.*C08P01.*no startup message within 10 s/s);
    await router.record(({ detail }) => detail === "no startup message within 10 s");
  });
});
