import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { TLSSocket } from "node:tls";
import fc from "fast-check";
import { Redis as Ioredis } from "ioredis";
import { RedisAccess } from "../../src/adapters/redis/access.ts";
import { Marks } from "../../src/adapters/redis/marks.ts";
import { Requests } from "../../src/adapters/redis/requests.ts";
import { Rules } from "../../src/adapters/redis/rules.ts";
import type { ConnectionRecord, StatementRecord } from "../../src/core/record.ts";
import type { Session } from "../../src/core/session.ts";
import { dial } from "../support/client.ts";
import { startProxy, type TestProxy } from "../support/local-proxy.ts";
import { freePort } from "../support/ports.ts";
import { missing, program } from "../support/programs.ts";
import { type Redis, startRedis, startSecureRedis } from "../support/redis.ts";
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

const users = [
  ...["--requirepass", "root-secret"],
  ...["--user", "app", "on", ">app-secret", "~*", "&*", "+@all"],
  ...["--user", "alice", "on", ">shared-secret", "~*", "&*", "+@all"],
  ...["--user", "reader", "on", ">reader-secret", "~*", "&*", "+get", "+select"],
];

describe("redis routes", { skip: missing("redis-server", "redis-cli") }, () => {
  let site: Site;
  let redis: Redis;
  let secure: Redis;
  let router: TestRouter;
  let ownPort: number;

  before(async () => {
    site = await createSite(["localhost", "*.redis.test"]);
    site.save("mallory", await site.authority.client({ commonName: "mallory", groups: [] }, dayMs));
    redis = await startRedis(site.folder, users);
    secure = await startSecureRedis(site.folder, users);
    ownPort = await freePort();
    const at = `127.0.0.1:${redis.port}`;
    const tls = `upstream_ca=${site.folder}/ca.crt&upstream_cert=${site.folder}/alice.crt&upstream_key=${site.folder}/alice.key`;
    router = await startRouter(site, {
      SALLYPORT_ROUTE_APP: `redis://app:app-secret@${at}?sni=app.redis.test&allow=group:payments`,
      SALLYPORT_ROUTE_NAMED: `redis://app:app-secret@${at}?sni=named.redis.test&db_user={cn},app`,
      SALLYPORT_ROUTE_ROOT: `redis://:root-secret@${at}?sni=root.redis.test&db_user=default`,
      SALLYPORT_ROUTE_OWN: `redis://:shared-secret@${at}?sni=own.redis.test&db_user={cn}`,
      SALLYPORT_ROUTE_PICK: `redis://:shared-secret@${at}?sni=pick.redis.test&db_user={cn},bob`,
      SALLYPORT_ROUTE_DB: `redis://app:app-secret@${at}?sni=db.redis.test&db_name=1,2`,
      SALLYPORT_ROUTE_SELF: `redis://${at}?sni=self.redis.test&db_user=app,reader`,
      SALLYPORT_ROUTE_BARE: `redis://${at}?sni=bare.redis.test`,
      SALLYPORT_ROUTE_AUDIT: `redis://app:app-secret@${at}?sni=audit.redis.test&audit=statements`,
      SALLYPORT_ROUTE_STALE: `redis://app:wrong@${at}?sni=stale.redis.test`,
      SALLYPORT_ROUTE_DEAD: `redis://app:wrong@127.0.0.1:1?sni=dead.redis.test`,
      SALLYPORT_ROUTE_MAYBE: `redis://app:app-secret@${at}?sni=maybe.redis.test&client=optional`,
      SALLYPORT_ROUTE_SECURE: `rediss://app:app-secret@localhost:${secure.port}?sni=secure.redis.test&${tls}`,
      SALLYPORT_LISTENER_MODE: "separate",
      SALLYPORT_PORT_REDIS: String(ownPort),
      ...Object.fromEntries(
        await Promise.all(
          ["SSH", "KUBERNETES", "MYSQL", "POSTGRES", "MONGODB"].map(async (scheme) => [
            `SALLYPORT_PORT_${scheme}`,
            String(await freePort()),
          ]),
        ),
      ),
    });
  });
  after(async () => {
    await router?.stop();
    redis?.stop();
    secure?.stop();
    site?.remove();
  });

  const cli = (host: string, args: readonly string[], more: CliOptions = {}): Promise<Finished> =>
    run(
      program("redis-cli"),
      [
        ...[
          "-h",
          "127.0.0.1",
          "-p",
          String(more.port ?? router.port),
          "--tls",
          "--sni",
          `${host}.redis.test`,
        ],
        ...["--cacert", `${site.folder}/ca.crt`],
        ...["--cert", `${site.folder}/${more.as ?? "alice"}.crt`],
        ...["--key", `${site.folder}/${more.as ?? "alice"}.key`, "--no-auth-warning", ...args],
      ],
      more.input === undefined ? {} : { input: more.input },
    );

  const open = async (host: string, login: Login = {}): Promise<Ioredis> => {
    const client = new Ioredis(router.port, {
      ...login,
      tls: {
        servername: `${host}.redis.test`,
        ca: readFileSync(`${site.folder}/ca.crt`),
        cert: readFileSync(`${site.folder}/alice.crt`),
        key: readFileSync(`${site.folder}/alice.key`),
      },
      lazyConnect: true,
      retryStrategy: null,
    });
    client.on("error", () => {});
    await client.connect();
    return client;
  };

  const raw = async (host: string): Promise<Raw> =>
    new Raw(await dial(site, router.port, `${host}.redis.test`));

  const record = (route: string, fits: (one: ConnectionRecord) => boolean = () => true) =>
    router.record((one) => one.event === "connection" && one.route === route && fits(one));

  const statements = (route: string): StatementRecord[] =>
    (router.records() as unknown as StatementRecord[]).filter(
      (one) => one.event === "statement" && one.route === route,
    );

  describe("where the router logs in", () => {
    it("redis-cli needs no password, and is the route's user", async () => {
      const { out, err } = await cli("app", ["acl", "whoami"]);
      assert.equal(out, "app\n", err);
      const { outcome, database } = await record("app");
      assert.deepEqual([outcome, database?.user, database?.name], ["served", "app", "0"]);
    });

    it("whatever password it sends is as good as any other", async () => {
      const { out, err } = await cli("app", ["--user", "app", "--pass", "anything", "acl", "whoami"]);
      assert.equal(out, "app\n", err);
      assert.equal((await cli("app", ["--pass", "anything", "acl", "whoami"])).out, "app\n");
      const three = await cli("app", ["-3", "--user", "app", "--pass", "anything", "acl", "whoami"]);
      assert.equal(three.out, "app\n", three.err);
    });

    it("another user is refused, and which to ask for is said", async () => {
      const { out, err } = await cli("app", ["--user", "default", "--pass", "root-secret", "acl", "whoami"]);
      // What drivers send along with a password alone.
      assert.equal(out, "app\n", err);
      const other = await cli("app", ["--user", "reader", "--pass", "reader-secret", "acl", "whoami"]);
      assert.match(
        other.out + other.err,
        /WRONGPASS sallyport: CN=alice,OU=payments may not be the user reader here; ask for app/,
      );
      const { reason, outcome } = await record("app", ({ reason }) => reason !== "ok");
      assert.deepEqual([outcome, reason], ["refused", "identity_not_allowed"]);
    });

    it("who is not admitted to the route hears it in RESP", async () => {
      const { out, err } = await cli("app", ["ping"], { as: "mallory" });
      assert.match(out + err, /NOPERM sallyport: .*mallory/);
    });

    it("asking for oneself is written down beside whom one is", async () => {
      const { out } = await cli("named", ["--user", "alice", "--pass", "x", "acl", "whoami"]);
      assert.equal(out, "app\n");
      const { database } = await record("named", ({ database }) => typeof database?.asked_user === "string");
      assert.deepEqual([database?.user, database?.asked_user], ["app", "alice"]);
    });

    it("and may be said later, as it makes no difference", async () => {
      const socket = await raw("named");
      try {
        assert.equal(await socket.ask("PING\r\n"), "+PONG\r\n");
        assert.equal(await socket.ask("AUTH alice x\r\n"), "+OK\r\n");
        assert.match(await socket.ask("AUTH reader reader-secret\r\n"), /^-WRONGPASS/);
        assert.equal(await socket.ask("ACL WHOAMI\r\n"), "$3\r\napp\r\n");
      } finally {
        socket.end();
      }
    });

    it("a password alone is the default user's", async () => {
      const { out, err } = await cli("root", ["acl", "whoami"]);
      assert.equal(out, "default\n", err);
    });

    it("a certificate says which user one is", async () => {
      const { out, err } = await cli("own", ["acl", "whoami"]);
      assert.equal(out, "alice\n", err);
      const refused = await cli("own", ["ping"], { as: "mallory" });
      assert.match(refused.out + refused.err, /upstream refused the router's login: WRONGPASS/);
      const { reason } = await record("own", ({ reason }) => reason !== "ok");
      assert.equal(reason, "upstream_refused");
    });

    it("who may be several says which", async () => {
      const { out, err } = await cli("pick", [], {
        input: ["acl whoami\n", "auth alice x\n", "acl whoami\n", "auth bob x\n", "hello 3 auth bob x\n"],
      });
      const text = out + err;
      assert.match(text, /NOAUTH sallyport: say which user you are: AUTH with the name of alice or bob/);
      assert.match(text, /OK\s+alice\s+(?:\(error\) )?WRONGPASS sallyport: this session is alice's/);
    });

    it("a login that the upstream refuses is told without its words", async () => {
      const { out, err } = await cli("stale", ["get", "colour"]);
      assert.match(out + err, /ERR sallyport: the upstream refused the router's login: WRONGPASS/);
      assert.doesNotMatch(out + err + JSON.stringify(router.records()) + router.errors(), /wrong@|:wrong/);
      assert.equal((await record("stale")).reason, "upstream_refused");
    });

    it("an upstream that is not there is told", async () => {
      const { out, err } = await cli("dead", ["get", "colour"]);
      assert.match(out + err, /ERR sallyport: the upstream can't be reached/);
      assert.equal((await record("dead")).reason, "upstream_unreachable");
    });

    it("not for a client without a certificate", async () => {
      const socket = new Raw(await dial(site, router.port, "maybe.redis.test", { as: null }));
      assert.match(await socket.until(/\r\n/), /^-NOAUTH sallyport: /);
      socket.end();
      assert.equal((await record("maybe")).reason, "client_cert_missing");
    });

    it("over TLS, with a certificate", async () => {
      const { out, err } = await cli("secure", ["acl", "whoami"]);
      assert.equal(out, "app\n", err);
    });

    it("with a certificate that the authority makes for the user", async () => {
      const folder = `${site.folder}/authority`;
      const [command, ...first] = sallyport;
      const init = [...first, "ca", "init", "--dir", folder, "--name", "Test"];
      assert.equal((await run(command, init, { env: environment({}) })).status, 0);
      // Takes no connection without a certificate of this authority.
      const strict = await startSecureRedis(site.folder, [
        ...["--tls-ca-cert-file", `${folder}/ca.crt`],
        ...users,
      ]);
      const tls = `upstream_ca=${site.folder}/ca.crt&upstream_cert=authority`;
      let other: TestRouter | undefined;
      try {
        other = await startRouter(site, {
          SALLYPORT_AUTHORITY: folder,
          SALLYPORT_CLIENT_CA: ["ca.crt", "authority/ca.crt"]
            .map((name) => readFileSync(`${site.folder}/${name}`, "utf8"))
            .join("\n"),
          SALLYPORT_ROUTE_MINTED: `rediss://:shared-secret@localhost:${strict.port}?sni=minted.redis.test&db_user={cn}&${tls}`,
        });
        const { out, err } = await cli("minted", ["acl", "whoami"], { port: other.port });
        assert.equal(out, "alice\n", err);
      } finally {
        await other?.stop();
        strict.stop();
      }
    });

    it("on a listener of its own", async () => {
      const { out, err } = await cli("app", ["acl", "whoami"], { port: ownPort });
      assert.equal(out, "app\n", err);
    });
  });

  describe("a session", () => {
    it("can't become another user, however it is written", async () => {
      const socket = await raw("app");
      try {
        const commands: readonly (readonly [string, RegExp])[] = [
          ["PING\r\n", /^\+PONG\r\n$/],
          ["AUTH reader reader-secret\r\n", /^-WRONGPASS sallyport: .*\r\n$/],
          ["auth root-secret\r\n", /^\+OK\r\n$/],
          ['"AU\\x54H" reader reader-secret\r\n', /^-WRONGPASS/],
          [resp("aUtH", "reader", "reader-secret"), /^-WRONGPASS/],
          [resp("HELLO", "2", "auth", "reader", "reader-secret"), /^-WRONGPASS/],
          [resp("HELLO", "2", "SETNAME", "a", "AUTH", "reader", "reader-secret"), /^-WRONGPASS/],
          [resp("HELLO", "2", "AUTH", "reader", "reader-secret", "WHAT"), /^-ERR Syntax error/],
          [resp("AUTH", "a", "b", "c"), /^-ERR wrong number/],
          [resp("AUTH"), /^-ERR wrong number/],
          [resp("RESET"), /^-NOPERM sallyport: RESET/],
          ["*0\r\n*-1\r\n\r\nACL WHOAMI\r\n", /^\$3\r\napp\r\n$/],
        ];
        for (const [command, answer] of commands) assert.match(await socket.ask(command), answer, command);
        // One after the other in one packet, and byte by byte.
        const all = commands.map(([command]) => command).join("");
        const together = await socket.ask(all, /app\r\n$/);
        assert.equal(together.split("\r\n").length - 1, commands.length + 1, together);
        for (const byte of all) socket.write(byte);
        assert.equal(await socket.until(/app\r\n$/), together);
      } finally {
        socket.end();
      }
    });

    it("has our answers in their places among the upstream's", async () => {
      const socket = await raw("app");
      try {
        await socket.ask(resp("RPUSH", "list", "-ERR unknown command 'SALLYPORT-", "b"));
        const asked = [
          resp("LRANGE", "list", "0", "-1"),
          resp("AUTH", "nobody", "x"),
          resp("MULTI"),
          resp("SET", "a", "1"),
          resp("EXEC"),
          resp("AUTH", "app", "x"),
          resp("SUBSCRIBE", "news"),
          resp("AUTH", "nobody", "x"),
          resp("UNSUBSCRIBE", "news"),
          resp("ECHO", "end"),
        ].join("");
        const answer = await socket.ask(asked, /\$3\r\nend\r\n$/);
        assert.match(
          answer,
          /^\*2\r\n.*SALLYPORT-\r\n\$1\r\nb\r\n-WRONGPASS .*?\r\n\+OK\r\n\+QUEUED\r\n\*1\r\n\+OK\r\n\+OK\r\n\*3\r\n.*:1\r\n-WRONGPASS .*?\r\n\*3\r\n.*:0\r\n\$3\r\nend\r\n$/s,
        );
        const three = await socket.ask(
          resp("HELLO", "3", "AUTH", "app", "x") + resp("AUTH", "app", "x") + resp("SUBSCRIBE", "news"),
          />3\r\n/,
        );
        assert.match(three, /^%\d+\r\n.*\+OK\r\n>3\r\n/s);
      } finally {
        socket.end();
      }
    });

    it("goes on while a blocking command waits", async () => {
      const socket = await raw("app");
      const other = await open("app");
      try {
        socket.write(resp("BLPOP", "queue", "10") + resp("AUTH", "nobody", "x") + resp("ECHO", "end"));
        await other.rpush("queue", "job");
        assert.match(await socket.until(/end\r\n$/), /^\*2\r\n.*job\r\n-WRONGPASS .*\r\n\$3\r\nend\r\n$/s);
      } finally {
        socket.end();
        other.disconnect();
      }
    });

    it("ends where what is sent is not RESP, after the replies that are due", async () => {
      for (const wrong of [
        "*1\r\n+PING\r\n",
        "*1\r\n$-1\r\n",
        "*01\r\n",
        "*1\n$4\nPING\n",
        '"unbalanced\r\n',
      ]) {
        const socket = await raw("app");
        try {
          socket.write(resp("ECHO", "hello") + wrong);
          const said = await socket.toEnd();
          assert.match(said, /^\$5\r\nhello\r\n-ERR Protocol error: sallyport: /, wrong);
        } finally {
          socket.end();
        }
      }
      const { outcome } = await record("app", ({ reason }) => reason === "protocol_error");
      assert.equal(outcome, "failed");
    });

    it("carries large values both ways", async () => {
      const client = await open("app");
      try {
        const value = Buffer.alloc(
          24 * 1024 * 1024,
          "0123456789abcdef\r\n-ERR unknown command 'SALLYPORT-\r\n",
        );
        await client.set("large", value);
        assert.equal(Buffer.compare((await client.getBuffer("large")) ?? Buffer.alloc(0), value), 0);
        await client.del("large");
      } finally {
        client.disconnect();
      }
    });
  });

  describe("ioredis", () => {
    for (const protocol of [2, 3] as const) {
      it(`does everything over RESP${protocol}`, async () => {
        const options = { username: "app", password: "anything", protocol };
        const client = await open("app", options);
        const listener = await open("app", options);
        try {
          assert.equal(await client.set("key", "value"), "OK");
          const pipeline = client.pipeline();
          for (let i = 0; i < 2000; i++) pipeline.set(`many:${i}`, `${i}`).get(`many:${i}`);
          const replies = await pipeline.exec();
          assert.deepEqual(replies?.[3999], [null, "1999"]);
          assert.deepEqual(await client.multi().incr("n").incr("n").exec(), [
            [null, 1],
            [null, 2],
          ]);
          await client.del("n");
          await listener.subscribe("news");
          const heard = once(listener, "message");
          await client.publish("news", "today");
          assert.deepEqual(await heard, ["news", "today"]);
          assert.equal(await client.eval("return redis.call('get', KEYS[1])", 1, "key"), "value");
        } finally {
          client.disconnect();
          listener.disconnect();
        }
      });
    }
  });

  describe("databases", () => {
    it("begins in one that is admitted, and gets to no other", async () => {
      const socket = await raw("db");
      try {
        assert.match(await socket.ask(resp("CLIENT", "INFO")), / db=1 /);
        assert.equal(await socket.ask(resp("SELECT", "2")), "+OK\r\n");
        for (const command of [
          resp("SELECT", "0"),
          resp("select", "00"),
          "SELECT 3\r\n",
          resp("SWAPDB", "1", "3"),
          resp("MOVE", "key", "0"),
          resp("COPY", "key", "key", "REPLACE", "db", "0"),
          resp("FLUSHALL"),
          resp("EVAL", "redis.call('select', 0)", "0"),
          resp("FCALL", "f", "0"),
          resp("MONITOR"),
          resp("MIGRATE", "127.0.0.1", "1", "key", "0", "10"),
        ])
          assert.match(await socket.ask(command), /^-NOPERM sallyport: /, command);
        assert.match(await socket.ask(resp("CLIENT", "INFO")), / db=2 /);
        assert.match(await socket.ask(resp("COPY", "none", "key", "DB", "1")), /^:0/);
        assert.match(await socket.ask(resp("RESET")), /^-NOPERM/);
      } finally {
        socket.end();
      }
      const { database, reason } = await record("db");
      assert.deepEqual([database?.name, reason], ["1", "identity_not_allowed"]);
    });
  });

  describe("where clients log in themselves", () => {
    it("as a user that is admitted", async () => {
      const good = await cli("self", ["--user", "app", "--pass", "app-secret", "acl", "whoami"]);
      assert.equal(good.out, "app\n", good.err);
      const hello = await cli("self", ["-3", "--user", "app", "--pass", "app-secret", "acl", "whoami"]);
      assert.equal(hello.out, "app\n", hello.err);
      const bad = await cli("self", ["--user", "alice", "--pass", "shared-secret", "acl", "whoami"]);
      assert.match(bad.out + bad.err, /WRONGPASS sallyport: .*ask for app or reader/);
      assert.equal((await record("self", ({ reason }) => reason === "ok")).database?.user, "app");
    });

    it("and as nobody else, with a password or without", async () => {
      const socket = await raw("self");
      try {
        assert.match(await socket.ask(resp("PING")), /^-NOAUTH sallyport: /);
        assert.match(await socket.ask(resp("AUTH", "root-secret")), /^-WRONGPASS sallyport: /);
        assert.match(await socket.ask(resp("AUTH", "app", "wrong")), /^-WRONGPASS invalid/);
        assert.match(await socket.ask(resp("PING")), /^-NOAUTH sallyport: /);
        assert.match(await socket.ask(resp("HELLO", "3", "AUTH", "app", "app-secret")), /^%/);
        assert.match(await socket.ask(resp("AUTH", "alice", "shared-secret")), /^-WRONGPASS sallyport: /);
        assert.match(await socket.ask(resp("AUTH", "app", "wrong")), /^-WRONGPASS invalid/);
        assert.match(await socket.ask(resp("RESET")), /^-NOPERM/);
        assert.equal(await socket.ask(resp("ACL", "WHOAMI")), "$3\r\napp\r\n");
      } finally {
        socket.end();
      }
    });

    it("or as anybody, where nothing is said", async () => {
      const { out } = await cli("bare", ["--user", "alice", "--pass", "shared-secret", "acl", "whoami"]);
      assert.equal(out, "alice\n");
      assert.equal((await record("bare")).database?.user, "alice");
      assert.match((await cli("bare", ["get", "x"])).out, /NOAUTH Authentication required/);
    });
  });

  describe("statements", () => {
    it("are written down without what they store", async () => {
      const socket = await raw("audit");
      try {
        await socket.ask(
          [
            resp("AUTH", "a-password-nobody-may-see"),
            resp("SET", "session:1", "a-value-nobody-may-see"),
            resp("LPUSH", "session:1", "x"),
            resp("MGET", "session:1", "b", "c"),
            resp("HELLO", "2", "AUTH", "app", "a-password-nobody-may-see"),
            resp("SUBSCRIBE", "news", "weather"),
            resp("UNSUBSCRIBE"),
            resp("CLIENT", "REPLY", "OFF"),
            resp("AUTH", "nobody", "a-password-nobody-may-see"),
            resp("ECHO", "end"),
          ].join(""),
          /\$3\r\nend\r\n$/,
        );
      } finally {
        socket.end();
      }
      const { id } = await record("audit");
      const said = statements("audit").map(({ statement, error, rows, user }) => [
        statement,
        error,
        rows,
        user,
      ]);
      assert.deepEqual(said, [
        ["AUTH app", null, null, "app"],
        ["SET session:1 … 1 more", null, null, "app"],
        ["LPUSH session:1 … 1 more", "WRONGTYPE", null, "app"],
        ["MGET session:1 … 2 more", null, 3, "app"],
        ["HELLO 2 … 3 more", null, 14, "app"],
        ["SUBSCRIBE news … 1 more", null, 3, "app"],
        ["UNSUBSCRIBE", null, 3, "app"],
        ["CLIENT REPLY … 1 more", "NOPERM", null, "app"],
        ["AUTH nobody … 1 more", "WRONGPASS", null, "app"],
        ["ECHO end", null, null, "app"],
      ]);
      assert.ok(statements("audit").every((one) => one.id === id && one.subject?.startsWith("CN=alice")));
      assert.doesNotMatch(JSON.stringify(router.records()) + router.errors(), /nobody-may-see/);
    });
  });

  describe("through the local proxy", () => {
    let proxy: TestProxy;
    before(async () => {
      proxy = await startProxy(site, { router: `localhost:${router.port}` }, ["db", "app"]);
    });
    after(async () => {
      await proxy?.stop();
    });

    it("redis-cli, with a password and without", async () => {
      const plain = await run(program("redis-cli"), ["-p", String(proxy.port), "acl", "whoami"]);
      assert.equal(plain.out, "app\n", plain.err);
      const named = ["-u", `redis://app:anything@127.0.0.1:${proxy.port}`, "--no-auth-warning"];
      assert.equal((await run(program("redis-cli"), [...named, "acl", "whoami"])).out, "app\n");
    });

    it("ioredis", async () => {
      const client = new Ioredis(proxy.port, { lazyConnect: true, retryStrategy: null });
      try {
        await client.connect();
        assert.equal(await client.acl("WHOAMI"), "app");
      } finally {
        client.disconnect();
      }
    });
  });
});

describe("a Redis server", { skip: missing("redis-server") }, () => {
  it("reads no other commands than we do in anything that we pass on", async () => {
    const folder = mkdtempSync(join(tmpdir(), "sallyport-redis-"));
    const powers = ["~*", "&*", "+auth", "+hello", "+reset", "+acl|whoami", "+client|id", "+ping", "+echo"];
    const server = await startRedis(folder, [
      ...["--user", "app", "on", ">app-secret", ...powers, "+multi", "+exec", "+subscribe", "+set"],
      ...["--user", "reader", "on", ">reader-secret", ...powers],
    ]);
    const admin = connect(server.port, "127.0.0.1");
    const sockets = [admin];
    const said = (socket: Socket, text: string, looks: RegExp): Promise<string> =>
      new Promise((resolve, reject) => {
        let heard = "";
        const hear = (chunk: Buffer): void => {
          heard += chunk;
          if (!looks.test(heard)) return;
          socket.off("data", hear);
          resolve(heard);
        };
        socket.on("data", hear);
        socket.once("close", () => reject(new Error(`closed: ${heard}`)));
        socket.write(text);
      });
    /** Whom the server has a new connection for that these bytes came on. */
    const becomes = async (bytes: Uint8Array): Promise<() => Promise<string | undefined>> => {
      const socket = connect(server.port, "127.0.0.1");
      socket.on("error", () => {});
      sockets.push(socket);
      const hello = await said(socket, "AUTH app app-secret\r\nCLIENT ID\r\n", /:\d+\r\n/);
      const id = /:(\d+)\r\n/.exec(hello)?.[1];
      socket.write(bytes);
      await new Promise((resolve) => setTimeout(resolve, 20));
      return async () => {
        const list = await said(admin, "CLIENT LIST\r\nECHO the-end\r\n", /the-end\r\n$/);
        socket.destroy();
        return new RegExp(`^(?:\\S*txt:)?id=${id} .* user=(\\S+)`, "m").exec(list)?.[1];
      };
    };
    const session = {
      route: {
        database: { users: null, names: null, auditStatements: false },
        upstream: { credentials: { user: "app", password: "", minted: false }, tls: { cert: null } },
      },
      identity: null,
      captures: {},
    } as unknown as Session;
    const held = (input: string): Uint8Array => {
      const rules = new Rules(new RedisAccess(session), "app", new Marks(), () => {});
      const requests = new Requests({
        concerns: (name) => rules.concerns(name),
        judge: (args) => rules.judge(args),
        heard: null,
      });
      return requests.push(Buffer.from(input, "latin1")).bytes;
    };
    try {
      const login = "AUTH reader reader-secret";
      const whole = [resp(...login.split(" ")), resp("HELLO", "3", ...login.split(" ")), resp("RESET")];
      const words = ["AUTH", "auth", "reader", "reader-secret", "SET a ", "ECHO ", "HELLO", "\\x41UTH", "3"];
      const counts = [
        "*1",
        "*2",
        "*3",
        "*5",
        "*-1",
        "*0",
        "*03",
        "$4",
        "$6",
        "$13",
        "$-1",
        "$0",
        "$41",
        "$45",
        ":1",
      ];
      const marks = ["\r\n", "\n", "\r", " ", "\t", '"', "'", "\0", "*", "$", "+"];
      const lines = [`${login}\r\n`, `${login}\n`, "RESET\r\n", "MULTI\r\n", "EXEC\r\n", "SUBSCRIBE a\r\n"];
      const token = fc.constantFrom(
        ...whole,
        ...words,
        ...counts.map((one) => `${one}\r\n`),
        ...marks,
        ...lines,
      );
      const inputs = fc.sample(fc.array(token, { minLength: 1, maxLength: 12 }), {
        numRuns: 800,
        seed: 20261128,
      });
      let escaped = 0;
      for (let at = 0; at < inputs.length; at += 40) {
        const batch = inputs.slice(at, at + 40).map((tokens) => tokens.join(""));
        const ends = await Promise.all(batch.map((input) => becomes(held(input))));
        for (const [i, end] of ends.entries())
          assert.ok(["app", undefined].includes(await end()), JSON.stringify(batch[i]));
        // Without us some of them are somebody else afterwards: so this proves something.
        const bare =
          at > 0 ? [] : await Promise.all(batch.map((input) => becomes(Buffer.from(input, "latin1"))));
        for (const end of bare) if (!["app", undefined].includes(await end())) escaped++;
      }
      assert.ok(escaped > 0);
    } finally {
      for (const socket of sockets) socket.destroy();
      server.stop();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

interface Login {
  readonly username?: string;
  readonly password?: string;
  readonly protocol?: 2 | 3;
}

interface CliOptions {
  readonly port?: number;
  readonly as?: string;
  readonly input?: readonly string[];
}

const resp = (...args: readonly string[]): string =>
  `*${args.length}\r\n${args.map((arg) => `$${Buffer.byteLength(arg)}\r\n${arg}\r\n`).join("")}`;

/** A client that says just what it is told to. */
class Raw {
  readonly #socket: TLSSocket;
  #heard = "";
  #ended = false;

  constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on("data", (chunk) => {
      this.#heard += chunk;
    });
    for (const event of ["end", "close"])
      socket.once(event, () => {
        this.#ended = true;
      });
  }

  write(text: string): void {
    this.#socket.write(text);
  }

  /** Everything that comes until it looks so. */
  async until(looks: RegExp): Promise<string> {
    for (let i = 0; i < 2400 && !looks.test(this.#heard) && !this.#ended; i++)
      await new Promise((resolve) => setTimeout(resolve, 25));
    const heard = this.#heard;
    this.#heard = "";
    assert.match(heard, looks);
    return heard;
  }

  ask(text: string, looks = /\r\n$/): Promise<string> {
    this.write(text);
    return this.until(looks);
  }

  async toEnd(): Promise<string> {
    for (let i = 0; i < 2400 && !this.#ended; i++) await new Promise((resolve) => setTimeout(resolve, 25));
    assert.ok(this.#ended, this.#heard);
    return this.#heard;
  }

  end(): void {
    this.#socket.destroy();
  }
}
