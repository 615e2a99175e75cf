import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { BSON, MongoClient, type MongoClientOptions } from "mongodb";
import type { ConnectionRecord, StatementRecord } from "../../src/core/record.ts";
import { dial } from "../support/client.ts";
import { startProxy, type TestProxy } from "../support/local-proxy.ts";
import { type MongoDb, startMongoDb } from "../support/mongodb.ts";
import { freePort } from "../support/ports.ts";
import {
  createSite,
  environment,
  type Site,
  sallyport,
  startRouter,
  type TestRouter,
} from "../support/router.ts";
import { run } from "../support/run.ts";

const dayMs = 86_400_000;
const users = {
  app: "app-secret",
  alice: "shared-secret",
  bob: "bob-secret",
  // As a server keeps it, which is not how it is written in the route.
  "odd,=name": "pässwörd x",
};

describe("mongodb routes", () => {
  let site: Site;
  let server: MongoDb;
  let old: MongoDb;
  let impostor: MongoDb;
  let secure: MongoDb;
  let router: TestRouter;
  let ownPort: number;

  /** A server that takes nobody without a certificate. */
  const serverTls = () => {
    const pem = (name: string) => readFileSync(`${site.folder}/${name}`);
    const pair = { cert: pem("server.crt"), key: pem("server.key"), ca: pem("ca.crt") };
    return { ...pair, requestCert: true, rejectUnauthorized: true };
  };

  before(async () => {
    site = await createSite(["localhost", "*.mongo.test"]);
    site.save("mallory", await site.authority.client({ commonName: "mallory", groups: [] }, dayMs));
    [server, old, impostor, secure] = await Promise.all([
      startMongoDb({ users }),
      startMongoDb({ users, emptyExchange: true }),
      startMongoDb({ users, impostor: true }),
      startMongoDb({ users: {}, tls: serverTls() }),
    ]);
    ownPort = await freePort();
    const at = `127.0.0.1:${server.port}`;
    const odd = `${encodeURIComponent("odd,=name")}:${encodeURIComponent("pässwörd\u00a0x")}`;
    const shown = `upstream_tls=verify&upstream_ca=${site.folder}/ca.crt&upstream_cert=${site.folder}/alice.crt&upstream_key=${site.folder}/alice.key`;
    router = await startRouter(site, {
      SALLYPORT_ROUTE_APP: `mongodb://app:app-secret@${at}?sni=app.mongo.test&allow=group:payments`,
      SALLYPORT_ROUTE_ODD: `mongodb://${odd}@${at}?sni=odd.mongo.test`,
      SALLYPORT_ROUTE_OLD: `mongodb://app:app-secret@127.0.0.1:${old.port}?sni=old.mongo.test`,
      SALLYPORT_ROUTE_FALSE: `mongodb://app:app-secret@127.0.0.1:${impostor.port}?sni=false.mongo.test`,
      SALLYPORT_ROUTE_STALE: `mongodb://app:not-the-password@${at}?sni=stale.mongo.test`,
      SALLYPORT_ROUTE_DEAD: "mongodb://app:app-secret@127.0.0.1:1?sni=dead.mongo.test",
      SALLYPORT_ROUTE_OWN: `mongodb://:shared-secret@${at}?sni=own.mongo.test&db_user={cn}`,
      SALLYPORT_ROUTE_PICK: `mongodb://:shared-secret@${at}?sni=pick.mongo.test&db_user={cn},bob`,
      SALLYPORT_ROUTE_DB: `mongodb://app:app-secret@${at}?sni=db.mongo.test&db_name=orders,{cn}_*`,
      SALLYPORT_ROUTE_SELF: `mongodb://${at}?sni=self.mongo.test&db_user=app`,
      SALLYPORT_ROUTE_BARE: `mongodb://${at}?sni=bare.mongo.test`,
      SALLYPORT_ROUTE_AUDIT: `mongodb://app:app-secret@${at}?sni=audit.mongo.test&audit=statements`,
      SALLYPORT_ROUTE_MAYBE: `mongodb://app:app-secret@${at}?sni=maybe.mongo.test&client=optional`,
      SALLYPORT_ROUTE_SHOWN: `mongodb://localhost:${secure.port}?sni=shown.mongo.test&db_user={cn}&${shown}`,
      SALLYPORT_LISTENER_MODE: "separate",
      SALLYPORT_PORT_MONGODB: String(ownPort),
      ...Object.fromEntries(
        await Promise.all(
          ["SSH", "KUBERNETES", "MYSQL", "POSTGRES", "REDIS"].map(async (scheme) => [
            `SALLYPORT_PORT_${scheme}`,
            String(await freePort()),
          ]),
        ),
      ),
    });
  });
  after(async () => {
    await router?.stop();
    for (const one of [server, old, impostor, secure]) one?.stop();
    site?.remove();
  });

  /** Uses the official driver, which is given the name of the route and finds it here. */
  async function using<T>(
    host: string,
    use: (client: MongoClient) => Promise<T>,
    { query = "", login = "", as = "alice", port = router.port, withinMs = 60_000 }: Use = {},
  ): Promise<T> {
    const client = new MongoClient(
      `mongodb://${login}${host}:${port}/?directConnection=true&tls=true${query}`,
      {
        ...({ lookup } as MongoClientOptions),
        tlsCAFile: `${site.folder}/ca.crt`,
        cert: readFileSync(`${site.folder}/${as}.crt`),
        key: readFileSync(`${site.folder}/${as}.key`),
        serverSelectionTimeoutMS: withinMs,
        heartbeatFrequencyMS: 500,
      } as MongoClientOptions,
    );
    try {
      return await use(client);
    } finally {
      await client.close();
    }
  }

  const whoami = async (client: MongoClient): Promise<string> =>
    (await client.db("admin").command({ connectionStatus: 1 })).authInfo.authenticatedUsers[0].user;

  const said = async (doing: Promise<unknown>): Promise<string> => {
    try {
      await doing;
    } catch (error) {
      return String((error as Error).message);
    }
    throw new Error("nothing was refused");
  };

  const record = (route: string, fits: (one: ConnectionRecord) => boolean = () => true) =>
    router.record((one) => one.event === "connection" && one.route === route && fits(one));

  describe("where the router logs in", () => {
    it("the driver needs no password, and is the route's user", async () => {
      assert.equal(await using("app.mongo.test", whoami), "app");
      const { outcome, database } = await record("app", (one) => one.database !== null);
      assert.deepEqual([outcome, database?.user, database?.name], ["served", "app", null]);
    });

    it("nor with certificates for a login, or any password in the clear", async () => {
      const x509 = { query: "&authMechanism=MONGODB-X509" };
      assert.equal(await using("app.mongo.test", whoami, x509), "app");
      assert.equal(await using("app.mongo.test", whoami, { ...x509, login: "app@" }), "app");
      const plain = { query: "&authMechanism=PLAIN&authSource=$external", login: "app:anything@" };
      assert.equal(await using("app.mongo.test", whoami, plain), "app");
      assert.ok(
        !server.asked.some(({ name, body }) => name === "authenticate" || body.mechanism === "PLAIN"),
      );
    });

    it("a password that would have to be proved is not needed, and it says so", async () => {
      const login = { login: "app:app-secret@" };
      assert.match(
        await said(using("app.mongo.test", whoami, login)),
        /sallyport: no password is needed, .*authMechanism=MONGODB-X509, or name no user/,
      );
    });

    it("another user is refused, and which to ask for is said", async () => {
      const other = { query: "&authMechanism=MONGODB-X509", login: "bob@" };
      assert.match(
        await said(using("app.mongo.test", whoami, other)),
        /sallyport: CN=alice,OU=payments may not be the user bob here; ask for app/,
      );
      const { outcome } = await record("app", ({ reason }) => reason === "identity_not_allowed");
      assert.equal(outcome, "refused");
    });

    it("who is not admitted to the route hears it in an answer", async () => {
      assert.match(
        await said(using("app.mongo.test", whoami, { as: "mallory", withinMs: 1500 })),
        /sallyport: .*mallory/,
      );
    });

    it("with names and passwords of any kind", async () => {
      assert.equal(await using("odd.mongo.test", whoami), "odd,=name");
    });

    it("with servers that end the exchange as of old", async () => {
      assert.equal(await using("old.mongo.test", whoami), "app");
    });

    it("but not to a server that can't prove that it knows the password", async () => {
      const why = await said(using("false.mongo.test", whoami));
      assert.match(why, /sallyport: the upstream's part of the login is wrong: it did not prove/);
      assert.equal((await record("false", ({ reason }) => reason !== "ok")).reason, "upstream_refused");
    });

    it("a login that the upstream refuses is told without its words", async () => {
      assert.match(
        await said(using("stale.mongo.test", whoami)),
        /the upstream refused the router's login: AuthenticationFailed/,
      );
      assert.doesNotMatch(JSON.stringify(router.records()) + router.errors(), /not-the-password/);
    });

    it("an upstream that is not there is told", async () => {
      assert.match(
        await said(using("dead.mongo.test", whoami, { withinMs: 1500 })),
        /sallyport: the upstream can't be reached/,
      );
      assert.equal((await record("dead")).reason, "upstream_unreachable");
    });

    it("a certificate says which user one is", async () => {
      assert.equal(await using("own.mongo.test", whoami), "alice");
      assert.match(
        await said(using("own.mongo.test", whoami, { as: "mallory" })),
        /refused the router's login/,
      );
    });

    it("who may be several says which", async () => {
      assert.match(
        await said(using("pick.mongo.test", whoami)),
        /say which user you are, .* the name of alice or bob/,
      );
      const named = { query: "&authMechanism=MONGODB-X509", login: "alice@" };
      assert.equal(await using("pick.mongo.test", whoami, named), "alice");
    });

    it("by a certificate of the route's", async () => {
      assert.equal(await using("shown.mongo.test", whoami), "CN=alice");
    });

    it("by a certificate that the authority makes for the user", async () => {
      const folder = `${site.folder}/authority`;
      const [command, ...first] = sallyport;
      const init = [...first, "ca", "init", "--dir", folder, "--name", "Test"];
      assert.equal((await run(command, init, { env: environment({}) })).status, 0);
      const strict = await startMongoDb({
        users: {},
        tls: { ...serverTls(), ca: readFileSync(`${folder}/ca.crt`) },
      });
      let other: TestRouter | undefined;
      try {
        other = await startRouter(site, {
          SALLYPORT_AUTHORITY: folder,
          SALLYPORT_CLIENT_CA: ["ca.crt", "authority/ca.crt"]
            .map((name) => readFileSync(`${site.folder}/${name}`, "utf8"))
            .join("\n"),
          SALLYPORT_ROUTE_MINTED: `mongodb://localhost:${strict.port}?sni=minted.mongo.test&db_user={cn}_rw&upstream_tls=verify&upstream_ca=${site.folder}/ca.crt&upstream_cert=authority`,
        });
        assert.equal(await using("minted.mongo.test", whoami, { port: other.port }), "CN=alice_rw");
      } finally {
        await other?.stop();
        strict.stop();
      }
    });

    it("not for a client without a certificate", async () => {
      const socket = new Raw(await dial(site, router.port, "maybe.mongo.test", { as: null }));
      try {
        assert.match((await socket.ask({ hello: 1, $db: "admin" })).errmsg, /^sallyport: /);
      } finally {
        socket.end();
      }
      assert.equal((await record("maybe")).reason, "client_cert_missing");
    });

    it("on a listener of its own", async () => {
      assert.equal(await using("app.mongo.test", whoami, { port: ownPort }), "app");
    });

    it("to documents of any size, both ways, many at once", async () => {
      await using("app.mongo.test", async (client) => {
        const all = client.db("shop").collection<{ n: number; text: string }>("large");
        const text = "x".repeat(1_000_000);
        await all.insertMany(Array.from({ length: 12 }, (_, n) => ({ n, text })));
        const found = await Promise.all([1, 2, 3, 4].map(() => all.find().toArray()));
        for (const one of found)
          assert.ok(one.length === 12 && one.every((document) => document.text === text));
      });
    });

    it("without compression, which would hide commands", async () => {
      assert.equal(await using("app.mongo.test", whoami, { query: "&compressors=zlib" }), "app");
      const socket = await raw("app");
      try {
        const hello = await socket.ask({
          hello: 1,
          compression: ["zlib"],
          saslSupportedMechs: "admin.app",
          $db: "admin",
        });
        assert.deepEqual([hello.compression, hello.saslSupportedMechs, hello.ok], [undefined, undefined, 1]);
      } finally {
        socket.end();
      }
    });
  });

  const raw = async (host: string): Promise<Raw> =>
    new Raw(await dial(site, router.port, `${host}.mongo.test`));

  describe("a session", () => {
    it("can't become another user", async () => {
      const socket = await raw("app");
      try {
        const scram = {
          saslStart: 1,
          mechanism: "SCRAM-SHA-256",
          payload: new BSON.Binary(Buffer.from("n,,n=bob,r=x")),
        };
        assert.equal((await socket.ask({ ping: 1, $db: "admin" })).ok, 1);
        for (const command of [
          { authenticate: 1, mechanism: "MONGODB-X509", user: "bob", $db: "$external" },
          { ...scram, $db: "admin" },
          { saslContinue: 1, conversationId: 7, payload: new BSON.Binary(Buffer.alloc(0)), $db: "admin" },
          {
            saslStart: 1,
            mechanism: "PLAIN",
            payload: new BSON.Binary(Buffer.from("\0bob\0x")),
            $db: "$external",
          },
          {
            saslStart: 1,
            mechanism: "PLAIN",
            payload: new BSON.Binary(Buffer.from("bob\0app\0x")),
            $db: "$external",
          },
          { logout: 1, $db: "admin" },
        ])
          assert.equal((await socket.ask(command)).codeName, "AuthenticationFailed", JSON.stringify(command));
        const { saslStart, ...ahead } = scram;
        const hello = await socket.ask({
          hello: 1,
          speculativeAuthenticate: { saslStart, ...ahead, db: "admin" },
          $db: "admin",
        });
        assert.equal(hello.speculativeAuthenticate, undefined);
        const same = { authenticate: 1, mechanism: "MONGODB-X509", $db: "$external" };
        assert.deepEqual(await socket.ask(same), { dbname: "$external", user: "app", ok: 1 });
        assert.equal(whoIn(await socket.ask({ connectionStatus: 1, $db: "admin" })), "app");
      } finally {
        socket.end();
      }
    });

    it("has our answers between the upstream's, however it is cut", async () => {
      const socket = await raw("app");
      try {
        const wanted = { connectionStatus: 1, $db: "admin" };
        const refused = { logout: 1, $db: "admin" };
        const bytes = Buffer.concat(
          [1, 2, 3, 4, 5, 6].map((id) => socket.message(id, id % 2 === 0 ? refused : wanted)),
        );
        for (const size of [1, 5, 64, 100_000]) {
          for (let at = 0; at < bytes.length; at += size) socket.write(bytes.subarray(at, at + size));
          const answers = await socket.answers(6);
          for (const [id, answer] of answers) assert.equal(answer.ok, id % 2 === 0 ? 0 : 1);
          assert.deepEqual([...answers.keys()].sort(), [1, 2, 3, 4, 5, 6]);
        }
      } finally {
        socket.end();
      }
    });

    it("ends where what is sent is no command", async () => {
      const good = new Raw(null).message(1, { ping: 1, $db: "admin" });
      const changed = (at: number, value: number): Buffer => {
        const copy = Buffer.from(good);
        copy.writeInt32LE(value, at);
        return copy;
      };
      const sequence = Buffer.from(good);
      sequence[20] = 1;
      for (const wrong of [
        changed(12, 2012),
        changed(12, 2002),
        changed(0, 15),
        changed(0, 100_000_000),
        changed(21, 4),
        changed(21, 1000),
        sequence,
      ]) {
        const socket = await raw("app");
        socket.write(good);
        assert.equal((await socket.answers(1)).get(1)?.ok, 1);
        socket.write(wrong);
        assert.ok(await socket.ended(), wrong.toString("hex"));
      }
      assert.equal((await record("app", ({ reason }) => reason === "protocol_error")).outcome, "failed");
    });
  });

  describe("databases", () => {
    it("are those that are admitted, and no others", async () => {
      await using("db.mongo.test", async (client) => {
        const orders = client.db("orders").collection("items");
        await orders.insertOne({ n: 1 });
        assert.equal(await orders.countDocuments(), 1);
        assert.equal(await client.db("alice_x").collection("items").countDocuments(), 0);
        for (const doing of [
          () => client.db("shop").collection("items").insertOne({ n: 1 }),
          () => client.db("bob_x").collection("items").countDocuments(),
          () => client.db("admin").command({ listDatabases: 1 }),
          () => client.db("admin").command({ renameCollection: "orders.items", to: "shop.items" }),
          () => orders.aggregate([{ $merge: { into: { db: "shop", coll: "items" } } }]).toArray(),
          () => orders.aggregate([{ $out: { db: "shop", coll: "items" } }]).toArray(),
          () =>
            orders
              .aggregate([{ $facet: { a: [{ $lookup: { from: { db: "shop", coll: "items" }, as: "x" } }] } }])
              .toArray(),
          () => client.db("orders").command({ applyOps: [{ op: "i", ns: "shop.items", o: {} }] }),
          () =>
            client
              .db("orders")
              .command({ mapReduce: "items", map: "", reduce: "", out: { replace: "x", db: "shop" } }),
        ])
          assert.match(
            await said(doing()),
            /sallyport: .*(?:may not use the database|reaches every database)/,
          );
        assert.equal(
          await orders
            .aggregate([{ $set: { db: "shop" } }])
            .toArray()
            .then((all) => all.length),
          1,
        );
      });
      assert.ok(server.asked.every(({ body }) => body.$db !== "bob_x"));
      const socket = await raw("db");
      try {
        const twice = socket.message(1, { ping: 1, $db: "orders", $dB: "shop" });
        twice.write("$db", twice.lastIndexOf("$dB"));
        twice.write("find", twice.indexOf("ping"));
        socket.write(twice);
        assert.equal((await socket.answers(1)).get(1)?.codeName, "Unauthorized");
        assert.equal((await socket.ask({ find: "items" })).codeName, "Unauthorized");
        // A pipeline beside the command, where nobody would look for it.
        const stage = BSON.serialize({ $out: { db: "shop", coll: "items" } });
        const beside = Buffer.concat([Buffer.of(1, 0, 0, 0, 0), Buffer.from("pipeline\0"), stage]);
        beside.writeInt32LE(beside.length - 1, 1);
        const split = Buffer.concat([
          socket.message(2, { aggregate: "items", cursor: {}, $db: "orders" }),
          beside,
        ]);
        split.writeInt32LE(split.length, 0);
        socket.write(split);
        assert.equal((await socket.answers(1)).get(2)?.codeName, "Unauthorized");
      } finally {
        socket.end();
      }
    });
  });

  describe("where clients log in themselves", () => {
    it("as a user that is admitted, and as no other", async () => {
      assert.equal(await using("self.mongo.test", whoami, { login: "app:app-secret@" }), "app");
      assert.match(
        await said(using("self.mongo.test", whoami, { login: "bob:bob-secret@" })),
        /sallyport: .*may not be the user bob here; ask for app/,
      );
      assert.match(
        await said(using("self.mongo.test", whoami, { login: "app:wrong@" })),
        /Authentication failed/,
      );
      assert.equal((await record("self", ({ database }) => database !== null)).database?.user, "app");
    });

    it("and are in the record once the server has let them in", async () => {
      const from = router.now();
      const login = "app:wrong@";
      await said(using("self.mongo.test", whoami, { login }));
      await router.record(({ route }) => route === "self", from);
      const asked = server.asked.filter(({ name }) => name === "saslStart").length;
      assert.ok(asked > 0);
      for (const one of router.records(from)) assert.equal(one.database ?? null, null);
    });

    it("or as anybody, where nothing is said", async () => {
      assert.equal(await using("bare.mongo.test", whoami, { login: "bob:bob-secret@" }), "bob");
    });
  });

  describe("statements", () => {
    it("are written down without what they store", async () => {
      await using("audit.mongo.test", async (client) => {
        const items = client.db("shop").collection("audited");
        await items.insertOne({ secret: "nobody-may-see" });
        await items.find({ secret: "nobody-may-see" }).toArray();
        await said(client.db("shop").command({ nonsense: 1 }));
        await said(client.db("admin").command({ logout: 1 }));
      });
      await record("audit", ({ database }) => database !== null);
      const statements = (router.records() as unknown as StatementRecord[])
        .filter((one) => one.event === "statement" && one.route === "audit")
        .map(({ statement, error, rows, user }) => [statement, error, rows, user]);
      for (const expected of [
        ["insert shop.audited", null, 1, "app"],
        ["find shop.audited", null, null, "app"],
        ["nonsense shop", "CommandNotFound", null, "app"],
        ["logout admin", "AuthenticationFailed", null, "app"],
      ])
        assert.ok(
          statements.some((one) => JSON.stringify(one) === JSON.stringify(expected)),
          JSON.stringify([expected, statements]),
        );
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

    it("the driver, without TLS or a password", async () => {
      const client = new MongoClient(`mongodb://127.0.0.1:${proxy.port}/?directConnection=true`, {
        serverSelectionTimeoutMS: 20_000,
      });
      try {
        assert.equal(await whoami(client), "app");
      } finally {
        await client.close();
      }
    });
  });
});

interface Use {
  readonly query?: string;
  readonly login?: string;
  readonly as?: string;
  readonly port?: number;
  /** How long the driver looks for a server that answers. */
  readonly withinMs?: number;
}

/** Every name is this machine. */
function lookup(_: string, options: { all?: boolean }, found: (...answer: unknown[]) => void): void {
  if (options.all === true) found(null, [{ address: "127.0.0.1", family: 4 }]);
  else found(null, "127.0.0.1", 4);
}

const whoIn = (answer: BSON.Document): string => answer.authInfo.authenticatedUsers[0].user;

/** A client that says just what it is told to. */
class Raw {
  readonly #socket: Awaited<ReturnType<typeof dial>> | null;
  #heard: Buffer = Buffer.alloc(0);
  #ended = false;
  #id = 100;

  constructor(socket: Awaited<ReturnType<typeof dial>> | null) {
    this.#socket = socket;
    socket?.setNoDelay(true);
    socket?.on("data", (chunk: Buffer) => {
      this.#heard = Buffer.concat([this.#heard, chunk]);
    });
    for (const event of ["end", "close"])
      socket?.once(event, () => {
        this.#ended = true;
      });
  }

  message(id: number, body: BSON.Document): Buffer {
    const document = BSON.serialize(body);
    const bytes = Buffer.alloc(21 + document.length);
    for (const [at, value] of [bytes.length, id, 0, 2013].entries()) bytes.writeInt32LE(value, 4 * at);
    bytes.set(document, 21);
    return bytes;
  }

  write(bytes: Uint8Array): void {
    this.#socket?.write(bytes);
  }

  async ask(body: BSON.Document): Promise<BSON.Document> {
    const id = this.#id++;
    this.write(this.message(id, body));
    return (await this.answers(1)).get(id) ?? {};
  }

  /** So many answers, by what they answer. */
  async answers(count: number): Promise<Map<number, BSON.Document>> {
    const answers = new Map<number, BSON.Document>();
    for (let i = 0; i < 2400; i++) {
      const over = this.#ended;
      while (this.#heard.length >= 16 && this.#heard.length >= this.#heard.readInt32LE(0)) {
        const length = this.#heard.readInt32LE(0);
        answers.set(this.#heard.readInt32LE(8), BSON.deserialize(this.#heard.subarray(21, length)));
        this.#heard = this.#heard.subarray(length);
      }
      if (over || answers.size >= count) break;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
    return answers;
  }

  async ended(): Promise<boolean> {
    for (let i = 0; i < 2400 && !this.#ended; i++) await new Promise((resolve) => setTimeout(resolve, 25));
    this.end();
    return this.#ended;
  }

  end(): void {
    this.#socket?.destroy();
  }
}
