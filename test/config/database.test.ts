import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { authority, hourMs, load, problems, routeOf, wrong } from "../support/environment.ts";

const client = await authority.client({ commonName: "router" }, hourMs);
const given = `&upstream_cert=${encodeURIComponent(client.cert)}&upstream_key=${encodeURIComponent(client.key)}`;

describe("a database route", () => {
  it("keeps the name and password of its URL for the upstream", () => {
    const { upstream, database } = routeOf("postgres://app:p%40ss%3Aword@db:5433?sni=a.example.com");
    assert.deepEqual(upstream?.credentials, { user: "app", password: "p@ss:word", minted: false });
    assert.deepEqual(database, {
      users: null,
      names: null,
      auditStatements: false,
      replication: false,
      startupOptions: true,
      localInfile: false,
    });
  });

  it("has neither where clients log in themselves", () => {
    const { upstream } = routeOf("mysql://db?sni=a.example.com");
    assert.equal(upstream?.credentials, null);
  });

  it("takes a password without a name, as Redis does", () => {
    const { upstream } = routeOf("redis://:secret@cache?sni=a.example.com&db_user=default");
    assert.deepEqual(upstream?.credentials, { user: null, password: "secret", minted: false });
  });

  it("takes its password from the environment, whatever is in it", () => {
    const { upstream } = routeOf(`postgres://app:\${DB_PASSWORD}@db?sni=a.example.com`, {
      DB_PASSWORD: "a@b/c?d#e%20",
    });
    assert.equal(upstream?.credentials?.password, "a@b/c?d#e%20");
  });

  it("has rules for users and databases, and an audit of statements", () => {
    const { database } = routeOf(
      "postgres://db?sni={db}.example.com&db_user={cn},ro_*&db_user={group}_rw&db_name={db}&audit=statements",
    );
    assert.deepEqual(
      database?.users?.map(({ text }) => text),
      ["{cn}", "ro_*", "{group}_rw"],
    );
    assert.deepEqual(
      database?.names?.map(({ text }) => text),
      ["{db}"],
    );
    assert.equal(database?.auditStatements, true);
  });

  it("lets through what is for replicas, or asks clients for files, where it says so", () => {
    const { database } = routeOf("mysql://db?sni=a.example.com&replication=allow&local_infile=allow");
    assert.deepEqual([database?.replication, database?.localInfile], [true, true]);
  });

  it("has its certificate made by the authority where one is there", () => {
    const url = "postgres://db?sni=a.example.com&upstream_tls=verify&upstream_cert=authority&db_user={cn}";
    assert.match(wrong(url), /^SALLYPORT_ROUTE_R: upstream_cert=authority needs SALLYPORT_AUTHORITY$/);
    const { upstream } = routeOf(url, { SALLYPORT_AUTHORITY: "ca", SALLYPORT_HOST: "localhost" });
    assert.deepEqual(upstream?.credentials, { user: null, password: null, minted: true });
    assert.equal(upstream?.tls.cert, null);
  });

  it("may last so long and no longer", () => {
    assert.equal(routeOf("postgres://db?sni=a.example.com&session_timeout=8h").sessionTimeoutMs, 28_800_000);
    assert.equal(routeOf("tcp://db:1?sni=a.example.com").sessionTimeoutMs, null);
  });

  it("of Postgres has rules for replication and options", () => {
    const { database } = routeOf("postgres://db?sni=a.example.com&replication=allow&startup_options=refuse");
    assert.equal(database?.replication, true);
    assert.equal(database?.startupOptions, false);
  });

  for (const [what, url, expected] of [
    [
      "that would log anybody in without a certificate",
      "postgres://app:hunter2@db?sni=a.example.com&client=none",
      /client=none makes no sense where the router logs in for its clients/,
    ],
    [
      "with a rule that is another protocol's",
      "redis://db?sni=a.example.com&replication=allow",
      /replication= makes no sense on a redis route: it is for postgres/,
    ],
    [
      "that would log anybody in with the router's certificate",
      `postgres://db?sni=a.example.com&upstream_tls=verify${given}`,
      /db_user= is missing: the router logs in for its clients, as anybody they ask for/,
    ],
    [
      "that would log anybody in with the router's password",
      "mysql://:hunter2@db?sni=a.example.com",
      /db_user= is missing/,
    ],
    [
      "whose certificate would be made for anybody",
      "postgres://db?sni=a.example.com&upstream_tls=verify&upstream_cert=authority",
      /db_user= is missing/,
    ],
    [
      "with a minted certificate and no TLS",
      "postgres://db?sni=a.example.com&upstream_cert=authority&db_user=a",
      /need upstream_tls=verify/,
    ],
    [
      "with a rule that names nothing known",
      "postgres://db?sni=a.example.com&db_user={user}",
      /\{user\} is not known: expected one of \{cn\}/,
    ],
    [
      "that captures what is the certificate's",
      "postgres://db?sni={cn}.example.com&db_user={cn}",
      /\{cn\} is the certificate's/,
    ],
    ["with an open brace", "postgres://db?sni=a.example.com&db_name={cn", /expected a name between/],
    ["with two stars", "postgres://db?sni=a.example.com&db_name=**", /one \* stands for any/],
    ["with another audit", "postgres://db?sni=a.example.com&audit=everything", /expected off or statements/],
    ["with an @ in its password", "postgres://app:hun@ter2@db?sni=a.example.com", /more than one @/],
    // What stands behind the ? must not be shown: it is the rest of the password.
    [
      "with a ? in its password",
      "postgres://app:12?hunter2@db?sni=a.example.com",
      /a \? inside a user name or password is written %3F/,
    ],
    ["with an empty name", "postgres://@db?sni=a.example.com", /an @ with no user name/],
    ["with a zero byte", "postgres://a%00b@db?sni=a.example.com", /zero byte/],
    [
      "that lets servers ask for files, and is not MySQL's",
      "postgres://db?sni=a.example.com&local_infile=allow",
      /local_infile= makes no sense on a postgres route: it is for mysql/,
    ],
    ["with replication by halves", "mysql://db?sni=a.example.com&replication=yes", /replication=/],
    ["that is none", "tcp://db:1?sni=a.example.com&db_user=app", /knows nothing of databases/],
    [
      "that passes TLS through",
      "tls://db:1?sni=a.example.com&audit=statements",
      /it is for postgres, mysql, redis, rediss, mongodb and kubernetes/,
    ],
  ] as const) {
    it(`${what} is refused`, () => {
      const text = wrong(url);
      assert.match(text, /^SALLYPORT_ROUTE_R: /);
      assert.match(text, expected);
      assert.ok(!text.includes("\n"), text);
      assert.ok(!text.includes("hunter2"));
    });
  }
});

describe("listeners of one protocol each", () => {
  const routes = {
    SALLYPORT_ROUTE_A: "postgres://db?sni=a.example.com",
    SALLYPORT_ROUTE_B: "rediss://cache?sni=a.example.com",
    SALLYPORT_ROUTE_C: "mysql://db?port=3306",
  };
  const of = (more: Readonly<Record<string, string>>) =>
    load({ ...routes, ...more }).separate.map(({ adapter, port }) => [adapter, port]);

  it("are there in listener mode separate, for protocols that have routes with names", () => {
    assert.deepEqual(of({}), []);
    assert.deepEqual(of({ SALLYPORT_LISTENER_MODE: "separate" }), [
      ["postgres", 5432],
      ["redis", 6379],
    ]);
  });

  it("can be moved", () =>
    assert.deepEqual(of({ SALLYPORT_LISTENER_MODE: "separate", SALLYPORT_PORT_POSTGRES: "0" }), [
      ["postgres", 0],
      ["redis", 6379],
    ]));

  it("have ports of their own", () => {
    const [problem] = problems({
      ...routes,
      SALLYPORT_LISTENER_MODE: "separate",
      SALLYPORT_PORT_REDIS: "8443",
    });
    assert.equal(problem?.name, "SALLYPORT_PORT_REDIS");
    assert.match(problem?.message ?? "", /port 8443 is the port of SALLYPORT_LISTEN already/);
  });
});
