import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { judge } from "../../../src/adapters/postgres/asked.ts";
import { establish } from "../../../src/adapters/postgres/establish.ts";
import { ownLogin } from "../../../src/adapters/postgres/own-login.ts";
import { relayedLogin } from "../../../src/adapters/postgres/relayed-login.ts";
import { reach, type Upstream } from "../../../src/adapters/postgres/upstream.ts";
import {
  authenticationOk,
  authenticationSasl,
  type CancelKey,
  message,
  parseMessage,
} from "../../../src/adapters/postgres/wire.ts";
import type { Credentials } from "../../../src/core/route.ts";
import type { Session } from "../../../src/core/session.ts";
import { Refusal } from "../../../src/errors.ts";
import type { Connection } from "../../../src/types.ts";
import { routeOf } from "../../support/environment.ts";
import { Pairs, readAll, readSome } from "../../support/pairs.ts";

let pairs: Pairs;
before(async () => {
  pairs = await Pairs.open();
});
after(() => pairs.close());

const ready = message("Z", "I");
const key: CancelKey = { pid: 7, secret: Uint8Array.of(1, 2, 3, 4) };
const md5Hex = (data: Uint8Array): string => createHash("md5").update(data).digest("hex");
const code = (...bytes: number[]): Uint8Array => message("R", Uint8Array.of(...bytes));

/** A session that knows its route and nothing of the world. */
const sessionOn = (url: string, more: Partial<Session> = {}): Session =>
  ({ route: routeOf(url), identity: null, captures: {}, ...more }) as Session;

const startup = (minor: number, ...more: (readonly [string, string])[]) => ({
  minor,
  parameters: [["user", "app"] as const, ...more],
});

interface Scripted {
  readonly server: Connection;
  readonly client: Connection;
  /** What goes to the client. */
  readonly sent: () => Buffer;
  readonly done: Promise<void>;
}

/** A login at an upstream that the test plays. */
async function begun(how: {
  readonly credentials?: Credentials | null;
  readonly away?: boolean;
  readonly insecure?: boolean;
  readonly minor?: number;
  readonly more?: readonly (readonly [string, string])[];
}): Promise<Scripted> {
  const [near, server] = await pairs.pair();
  const [client, accepted] = await pairs.pair();
  const { credentials = { user: "app", password: "secret", minted: false }, minor = 0, more = [] } = how;
  const connection: Connection = how.away
    ? Object.create(near, { remote: { value: { address: "192.0.2.1", port: 5432 } } })
    : near;
  // A socket's own methods must find its own fields.
  if (how.away)
    for (const name of ["read", "write", "unread", "abort"] as const)
      Object.defineProperty(connection, name, { value: (near[name] as () => unknown).bind(near) });
  const upstream: Upstream = { connection, encrypted: how.insecure === true, verified: false };
  const chunks: Uint8Array[] = [];
  const session = sessionOn("postgres://db?sni=a.example.com");
  const done = establish({
    asked: judge(session, startup(minor, ...more)),
    minor,
    upstream,
    authenticator:
      credentials === null
        ? relayedLogin(accepted, upstream, (bytes) => accepted.write(bytes))
        : ownLogin(credentials, "app", upstream, md5Hex),
    client: { add: (bytes) => void chunks.push(bytes), flush: async () => {} },
    issue: () => ({ pid: 99, secret: Uint8Array.of(9, 9, 9, 9) }),
  });
  done.catch(() => {});
  // The startup message has come when the script begins.
  const head = await readSome(server, 4);
  await readSome(server, head.readUInt32BE(0) - 4);
  return { server, client, sent: () => Buffer.concat(chunks), done };
}

async function read(connection: Connection): Promise<{ type: string; body: string }> {
  const head = await readSome(connection, 5);
  const body = await readSome(connection, head.readUInt32BE(1) - 4);
  return { type: String.fromCharCode(head[0] ?? 0), body: body.toString("latin1") };
}

const refuses = async ({ done }: Scripted, reason: string, words: RegExp): Promise<void> =>
  assert.rejects(done, (error) => {
    assert.ok(error instanceof Refusal, String(error));
    assert.equal(error.reason, reason);
    assert.match(error.message, words);
    assert.doesNotMatch(error.message, /secret/);
    return true;
  });

describe("logging in with the router's credentials", () => {
  it("hands on what the upstream says, with a key of our own", async () => {
    const login = await begun({});
    const parameter = message("S", "server_version\x0018\0");
    const rest = [parameter, message("K", Uint8Array.of(0, 0, 0, 7, ...key.secret)), ready];
    for (const bytes of [authenticationOk, ...rest])
      for (const byte of bytes) await login.server.write(Uint8Array.of(byte));
    await login.done;
    const expected = [
      authenticationOk,
      parameter,
      message("K", Uint8Array.of(0, 0, 0, 99, 9, 9, 9, 9)),
      ready,
    ];
    assert.deepEqual(login.sent(), Buffer.concat(expected));
  });

  it("as md5 has it, to this machine", async () => {
    const login = await begun({});
    await login.server.write(code(0, 0, 0, 5, 1, 2, 3, 4));
    const { type, body } = await read(login.server);
    const stored = md5Hex(Buffer.from("secretapp"));
    assert.equal(type, "p");
    assert.equal(body, `md5${md5Hex(Buffer.concat([Buffer.from(stored), Buffer.of(1, 2, 3, 4)]))}\0`);
    login.server.abort();
    await refuses(login, "upstream_refused", /broke the connection|closed/);
  });

  for (const [what, question, words] of [
    ["the password itself", code(0, 0, 0, 3), /the password itself, which is sent in verified TLS alone/],
    [
      "an MD5 of it",
      code(0, 0, 0, 5, 1, 2, 3, 4),
      /an MD5 of the password, which is sent in verified TLS alone/,
    ],
  ] as const) {
    for (const insecure of [false, true]) {
      it(`sends ${what} to nobody ${insecure ? "whose certificate is not verified" : "without TLS"}`, async () => {
        const login = await begun({ away: true, insecure });
        await login.server.write(question);
        await refuses(login, "upstream_refused", words);
        login.server.abort();
      });
    }
  }

  for (const [what, messages, words] of [
    [
      "ends SCRAM without a proof",
      [authenticationSasl(["SCRAM-SHA-256"]), authenticationOk],
      /did not prove/,
    ],
    ["says yes to SCRAM that nobody began", [code(0, 0, 0, 12, 118, 61)], /answers what was not said/],
    ["goes on with SCRAM that nobody began", [code(0, 0, 0, 11, 114)], /answers what was not said/],
    ["knows only another mechanism", [authenticationSasl(["PLAIN"])], /asks for PLAIN/],
    [
      "knows only SCRAM that is bound",
      [authenticationSasl(["SCRAM-SHA-256-PLUS"])],
      /asks for SCRAM-SHA-256-PLUS/,
    ],
    ["asks for Kerberos", [code(0, 0, 0, 7)], /login of kind 7/],
    ["is ready without a login", [ready], /goes on without a login/],
    ["has parameters without a login", [message("S", "a\0b\0")], /goes on without a login/],
    ["logs in twice", [authenticationOk, authenticationOk], /its login is none/],
    ["begins with data", [message("D", "x")], /it sent "D"/],
    [
      "sends a message without end",
      [Uint8Array.of(0x53, 0x7f, 0xff, 0xff, 0xff)],
      /a message of 2147483647 bytes/,
    ],
    ["speaks HTTP", [Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n")], /a message of/],
    ["has a key that is none", [authenticationOk, message("K", "abc")], /its key is none/],
  ] as const) {
    it(`does not take an upstream that ${what}`, async () => {
      const login = await begun({});
      await login.server.write(Buffer.concat(messages));
      await refuses(login, "upstream_refused", words);
      login.server.abort();
    });
  }

  it("has no password to give where the route has none", async () => {
    const login = await begun({ credentials: { user: "app", password: null, minted: false } });
    await login.server.write(code(0, 0, 0, 3));
    await refuses(login, "upstream_refused", /it asks for a password, and the route has none/);
    login.server.abort();
  });

  it("hands on an upstream's refusal as it is", async () => {
    const login = await begun({});
    const error = message("E", "SFATAL\0VFATAL\0C53300\0Msorry, too many clients already\0\0");
    await login.server.write(error);
    await assert.rejects(login.done, (refusal: Refusal & { packet?: Uint8Array }) => {
      assert.deepEqual(Buffer.from(refusal.packet ?? []), Buffer.from(error));
      assert.match(refusal.message, /FATAL 53300 sorry/);
      return true;
    });
    login.server.abort();
  });
});

describe("versions and extensions", () => {
  const first = async (how: Parameters<typeof begun>[0], ...messages: Uint8Array[]): Promise<string> => {
    const login = await begun(how);
    await login.server.write(Buffer.concat([...messages, authenticationOk, ready]));
    await login.done;
    const parsed = parseMessage(login.sent(), 1000);
    assert.equal(parsed.kind, "ok");
    return parsed.kind === "ok" ? parsed.value.type + Buffer.from(parsed.value.body).toString("latin1") : "";
  };
  it("nothing is said of those that are known", async () => {
    assert.equal((await first({}))[0], "R");
    assert.equal((await first({ minor: 2 }))[0], "R");
  });
  it("what the upstream does not speak is said as it has it", async () =>
    assert.equal(await first({ minor: 2 }, message("v", "\0\x03\0\0\0\0\0\0")), "v\0\x03\0\0\0\0\0\0"));
  it("what we do not speak is said by us", async () =>
    assert.equal(await first({ minor: 9999 }), "v\0\x03\0\x02\0\0\0\0"));
  it("extensions are unknown, ours and the upstream's together", async () =>
    assert.equal(
      await first({ more: [["_pq_.x", "on"]] }, message("v", "\0\x03\0\0\0\0\0\x01y\0")),
      "v\0\x03\0\0\0\0\0\x02_pq_.x\0y\0",
    ));
});

describe("a client that logs in itself", () => {
  it("is asked, and answers, and what it says beyond is left for later", async () => {
    const login = await begun({ credentials: null });
    await login.server.write(code(0, 0, 0, 3));
    assert.deepEqual(await readSome(login.client, 9), Buffer.from(code(0, 0, 0, 3)));
    await login.client.write(Buffer.concat([message("p", "mine\0"), message("Q", "select 1\0")]));
    assert.deepEqual(await read(login.server), { type: "p", body: "mine\0" });
    await login.server.write(Buffer.concat([authenticationOk, ready]));
    await login.done;
    login.server.abort();
  });

  it("is not told of SCRAM that is bound to TLS", async () => {
    const login = await begun({ credentials: null });
    await login.server.write(authenticationSasl(["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]));
    const expected = authenticationSasl(["SCRAM-SHA-256"]);
    assert.deepEqual(await readSome(login.client, expected.length), Buffer.from(expected));
    login.client.abort();
    await assert.rejects(login.done);
    login.server.abort();
  });

  for (const [what, answer, reason] of [
    ["a query", message("Q", "drop table\0"), "protocol_error"],
    ["an answer without end", Uint8Array.of(0x70, 0, 2, 0, 0), "protocol_error"],
    ["nothing of Postgres's", Buffer.from("GET / HTTP/1.1\r\n"), "protocol_error"],
  ] as const) {
    it(`may not answer with ${what}`, async () => {
      const login = await begun({ credentials: null });
      await login.server.write(code(0, 0, 0, 3));
      await login.client.write(answer);
      await refuses(login, reason, /./);
      login.server.abort();
      assert.equal((await readAll(login.server).catch(() => Buffer.alloc(0))).length, 0);
    });
  }
});

describe("TLS with the upstream", () => {
  const url = "postgres://db?sni=a.example.com&upstream_tls=verify";
  for (const [what, answer, words] of [
    ["no", "N", /does not speak TLS/],
    ["an error", "EFATAL", /does not speak TLS/],
    ["yes, and what should come inside", "SR\0\0\0\x08\0\0\0\0", /bytes in front of the TLS handshake/],
  ] as const) {
    it(`is not begun where it says ${what}`, async () => {
      const [near, server] = await pairs.pair();
      const reached = reach(
        sessionOn(url, {
          dialPlain: async () => near,
          secure: () => assert.fail("it went on"),
        }),
        "app",
      );
      reached.catch(() => {});
      await readSome(server, 8);
      await server.write(Buffer.from(answer, "latin1"));
      await assert.rejects(reached, words);
      server.abort();
    });
  }
});

describe("what is asked of the upstream", () => {
  const asked = (url: string, ...parameters: (readonly [string, string])[]) =>
    judge(sessionOn(`postgres://db?sni=a.example.com${url}`), { minor: 0, parameters }).startup.parameters;
  it("always names the database", () => {
    assert.deepEqual(asked("", ["user", "a"]), [
      ["user", "a"],
      ["database", "a"],
    ]);
    assert.deepEqual(asked("", ["user", "a"], ["database", ""]), [
      ["user", "a"],
      ["database", "a"],
    ]);
  });
  it("keeps the rest as it is", () =>
    assert.deepEqual(
      asked("", ["application_name", "x"], ["user", "a"], ["options", "-c b=c"], ["database", "d"]),
      [
        ["user", "a"],
        ["database", "d"],
        ["application_name", "x"],
        ["options", "-c b=c"],
      ],
    ));
  it("holds the database that is not named to the rules too", () => {
    assert.throws(() => asked("&db_name=orders", ["user", "a"]), /may not open database "a"/);
    assert.throws(
      () => asked("&db_name=orders", ["user", "a"], ["database", ""]),
      /may not open database "a"/,
    );
  });
  for (const value of ["true", "on", "1", "yes", "t", "database", "DATABASE", "nonsense", ""]) {
    it(`replication=${value} is replication`, () =>
      assert.throws(() => asked("", ["user", "a"], ["replication", value]), /takes no replication/));
  }
  for (const value of ["false", "OFF", "no", "0"]) {
    it(`replication=${value} is none, and left out`, () =>
      assert.deepEqual(asked("", ["user", "a"], ["replication", value]), [
        ["user", "a"],
        ["database", "a"],
      ]));
  }
  it("names no database for replication of the whole cluster, which rules for databases do not allow", () => {
    const replication = ["replication", "true"] as const;
    assert.deepEqual(asked("&replication=allow", ["user", "a"], replication), [["user", "a"], replication]);
    assert.throws(() => asked("&replication=allow&db_name=*", ["user", "a"], replication), /whole cluster/);
  });
  it("is nothing where the router logs in for somebody without a certificate", () =>
    assert.throws(
      () => judge(sessionOn("postgres://app@db?sni=a.example.com"), startup(0)),
      (error: Refusal) => error.reason === "client_cert_missing",
    ));
});
