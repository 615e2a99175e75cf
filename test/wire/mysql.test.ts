import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  authSwitchPayload,
  mysqlGoesOn,
  mysqlPhaseEnds,
  parseAuthSwitch,
  parseChangeUser,
} from "../../src/wire/mysql/auth.ts";
import { capability, shared, understands } from "../../src/wire/mysql/capabilities.ts";
import { type Command, CommandStream, command } from "../../src/wire/mysql/commands.ts";
import {
  type Greeting,
  greetingPayload,
  mysqlOffersTls,
  mysqlWithTls,
  parseGreeting,
} from "../../src/wire/mysql/greeting.ts";
import {
  type Login,
  loginPayload,
  mysqlAsksTls,
  parseLogin,
  sslRequestPayload,
} from "../../src/wire/mysql/login.ts";
import { errorPayload, mysqlPacket, parseError, parseMysqlPacket } from "../../src/wire/mysql/packet.ts";
import { Reader, Writer } from "../../src/wire/mysql/reader.ts";
import { type Result, ResultStream } from "../../src/wire/mysql/results.ts";
import { seed, share } from "../support/fuzz.ts";

const runs = { numRuns: share(2000), seed };
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const join = (parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(Buffer.concat(parts));
const word = fc.string({ maxLength: 12 }).filter((text) => !text.includes("\0"));

/** Cut at the given places, in pieces that are not empty. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return [0, ...at]
    .map((from, i) => bytes.slice(from, at[i] ?? bytes.length))
    .filter(({ length }) => length > 0);
}
const places = fc.array(fc.nat(5000), { maxLength: 12 });

/** What MariaDB 10.11 and MySQL 8.0 greet with, ids and challenges aside. */
const greetings: readonly Greeting[] = [
  {
    version: "5.5.5-10.11.19-MariaDB",
    connectionId: 34,
    challenge: ascii("12345678abcdefghijkl"),
    flags: 0x81ff_f7fe,
    extended: 0x1d,
    charset: 45,
    status: 2,
    plugin: "mysql_native_password",
  },
  {
    version: "8.0.36",
    connectionId: 0xffff_fffe,
    challenge: ascii("12345678abcdefghijkl"),
    flags: 0xdfff_ffff,
    extended: 0,
    charset: 255,
    status: 2,
    plugin: "caching_sha2_password",
  },
];

const login: Login = {
  flags:
    capability.protocol41 |
    capability.secureConnection |
    capability.pluginAuth |
    capability.lengthEncodedAuth |
    capability.connectWithDatabase |
    capability.connectAttributes,
  extended: 0x1d,
  maxPacket: 1 << 24,
  charset: 45,
  user: "alice",
  answer: new Uint8Array(20).fill(7),
  database: "orders",
  plugin: "mysql_native_password",
  attributes: ascii("\x04_pid\x0242"),
};

describe("MySQL's packets", () => {
  it("are read however they are cut, empty ones too", () => {
    for (const payload of [new Uint8Array(0), ascii("x"), new Uint8Array(300)]) {
      const packet = mysqlPacket(7, payload);
      for (let end = 0; end < packet.length; end++) {
        const parsed = parseMysqlPacket(packet.subarray(0, end));
        assert.ok(parsed.kind === "more" && parsed.atLeast > end && parsed.atLeast <= packet.length);
      }
      const parsed = parseMysqlPacket(join([packet, ascii("rest")]));
      assert.ok(parsed.kind === "ok");
      assert.deepEqual(
        [parsed.used, parsed.value.sequence, parsed.value.payload],
        [packet.length, 7, payload],
      );
    }
  });

  it("are not read where they are longer than any login", () =>
    assert.equal(parseMysqlPacket(Uint8Array.of(0, 0, 1, 0)).kind, "no"));

  it("say errors with and without a state", () => {
    for (const state of [null, "28000"]) {
      const error = { code: 1045, state, message: "Access denied" };
      assert.deepEqual(parseError(errorPayload(error)), error);
    }
    assert.equal(parseError(Uint8Array.of(0xff, 1)), null);
    assert.equal(parseError(Uint8Array.of(0, 1, 2, 3)), null);
  });

  it("count lengths of every size, and no number that JavaScript has not", () => {
    const lengths = [
      [[0xfa], 0xfa],
      [[0xfc, 0xfb, 0], 0xfb],
      [[0xfd, 0, 0, 1], 0x10000],
      [[0xfe, 0, 0, 0, 1, 0, 0, 0, 0], 0x1000000],
      [[0xfe, 0, 0, 0, 0, 1, 0, 0, 0], 2 ** 32],
      [[0xfe, 255, 255, 255, 255, 255, 255, 255, 255], undefined],
      [[0xfb], undefined],
      [[0xff], undefined],
      [[0xfd, 0, 0], undefined],
    ] as const;
    for (const [bytes, value] of lengths)
      assert.equal(new Reader(Uint8Array.from(bytes)).lengthEncoded(), value);
  });
});

describe("MySQL's greeting", () => {
  for (const greeting of greetings) {
    it(`is read and written: ${greeting.version}`, () => {
      const payload = greetingPayload(greeting);
      const parsed = parseGreeting(payload);
      assert.ok(parsed.kind === "ok");
      assert.deepEqual(parsed.value, greeting);
      assert.equal(mysqlOffersTls(payload), (greeting.flags & capability.tls) !== 0);
      assert.equal(mysqlOffersTls(mysqlWithTls(payload)), true);
    });

    it(`is never read past its end: ${greeting.version}`, () => {
      const payload = greetingPayload(greeting);
      for (let end = 0; end < payload.length; end++) {
        parseGreeting(payload.subarray(0, end));
        mysqlOffersTls(payload.subarray(0, end));
      }
    });
  }

  it("reads nothing that makes it throw", () =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        parseGreeting(bytes);
        parseGreeting(Uint8Array.of(10, ...bytes));
        mysqlWithTls(Uint8Array.of(10, ...bytes));
      }),
      runs,
    ));
});

describe("MySQL's login", () => {
  it("is read as it was written, whatever the client can do", () =>
    fc.assert(
      fc.property(
        fc.record({
          flags: fc
            .nat(0x1fff_ffff)
            .map((flags) => flags | capability.protocol41 | capability.secureConnection),
          extended: fc.nat(),
          maxPacket: fc.nat(),
          charset: fc.nat(255),
          user: word,
          answer: fc.uint8Array({ maxLength: 255 }),
          database: word,
          plugin: word,
          attributes: fc.uint8Array({ maxLength: 400 }),
        }),
        (made) => {
          const parsed = parseLogin(loginPayload(made));
          assert.ok(parsed.kind === "ok");
          const { flags } = made;
          const given = (flag: number, text: string): string | null =>
            (flags & flag) !== 0 && text !== "" ? text : null;
          assert.deepEqual(parsed.value, {
            ...made,
            extended: (flags & capability.mysql) === 0 ? made.extended : 0,
            database: given(capability.connectWithDatabase, made.database),
            plugin: given(capability.pluginAuth, made.plugin),
            attributes: (flags & capability.connectAttributes) !== 0 ? made.attributes : null,
          });
        },
      ),
      runs,
    ));

  it("is refused where it ends early, and never read past its end", () => {
    const payload = loginPayload(login);
    const userEnds = 32 + "alice\0".length + 1 + 20;
    for (let end = 0; end < payload.length; end++)
      assert.equal(parseLogin(payload.slice(0, end)).kind, end < userEnds ? "no" : "ok", String(end));
  });

  it("is none where the client is older than 4.1, or no client", () => {
    assert.equal(parseLogin(new Uint8Array(40)).kind, "no");
    assert.equal(parseLogin(ascii("GET / HTTP/1.1\r\n\r\n")).kind, "no");
  });

  it("asks for TLS in 32 bytes, with the flag alone", () => {
    const asks = sslRequestPayload({ ...login, flags: login.flags | capability.tls });
    assert.equal(mysqlAsksTls(asks), true);
    assert.equal(mysqlAsksTls(sslRequestPayload(login)), false);
    assert.equal(mysqlAsksTls(asks.subarray(0, 31)), false);
    assert.equal(mysqlAsksTls(loginPayload({ ...login, flags: login.flags | capability.tls })), false);
  });

  it("reads nothing that makes it throw", () =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        parseLogin(bytes);
        parseLogin(join([Uint8Array.of(0, 0x82, 0x3a, 0), bytes]));
        parseAuthSwitch(bytes);
        parseAuthSwitch(Uint8Array.of(0xfe, ...bytes));
        parseChangeUser(bytes, login);
        parseChangeUser(bytes, { flags: 0, extended: 0 });
        parseError(bytes);
        mysqlPhaseEnds(bytes);
        mysqlGoesOn(bytes);
      }),
      runs,
    ));

  it("knows what both sides must agree on", () => {
    const server = { flags: capability.protocol41 | capability.deprecateEof, extended: 0 };
    assert.ok(understands(server, server));
    assert.ok(!understands(server, { flags: capability.protocol41, extended: 0 }));
    assert.ok(!understands({ ...server, extended: 1 }, server));
    assert.deepEqual(shared({ flags: 0x8000_0001, extended: 3 }, { flags: 0x8000_0000, extended: 1 }), {
      flags: 0x8000_0000,
      extended: 1,
    });
  });
});

describe("ways to log in", () => {
  it("are switched with a challenge", () => {
    const other = { plugin: "caching_sha2_password", challenge: ascii("12345678abcdefghijkl") };
    assert.deepEqual(parseAuthSwitch(authSwitchPayload(other)), other);
    assert.deepEqual(parseAuthSwitch(Uint8Array.of(0xfe)), {
      plugin: "mysql_old_password",
      challenge: new Uint8Array(0),
    });
  });

  it("are asked of whom a change of user names", () => {
    const payload = join([Uint8Array.of(0x11), ascii("bob\0\x03"), ascii("\0\0\0"), ascii("orders\0")]);
    assert.deepEqual(parseChangeUser(payload, login), { user: "bob", database: "orders" });
    assert.equal(parseChangeUser(payload.subarray(0, 8), login), null);
  });
});

/** A client's packets: number, payload. */
type Packet = readonly [sequence: number, payload: Uint8Array];
const packets = fc.array(
  fc.tuple(
    fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(255) }),
    fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.constantFrom("\x11bob", "\x02orders", "\x02other", "\x03select 1", "\x12", "").map(ascii),
    ),
  ),
  { maxLength: 12 },
);
const bytesOf = (sent: readonly Packet[]): Uint8Array =>
  join(sent.map(([sequence, payload]) => mysqlPacket(sequence, payload)));

const instead = ascii("\x03instead");
const rules = {
  judged: new Set<number>([command.changeUser, command.useDatabase]),
  judge: (payload: Uint8Array) => (Buffer.from(payload).toString() === "\x02orders" ? null : instead),
  told: 16,
  files: false,
};

function follow(stream: CommandStream, chunks: readonly Uint8Array[]) {
  const pass: Uint8Array[] = [];
  const commands: Command[] = [];
  for (const chunk of chunks) {
    const said = stream.push(chunk);
    if (said === null) return null;
    pass.push(...said.pass);
    commands.push(...said.commands);
  }
  return { pass: join(pass), commands };
}

describe("what MySQL's clients ask for", () => {
  it("passes as it is but for what is refused, however it is cut", () =>
    fc.assert(
      fc.property(packets, places, (sent, at) => {
        const followed = follow(new CommandStream(rules), cut(bytesOf(sent), at));
        assert.ok(followed !== null);
        const refused = ([sequence, payload]: Packet): boolean =>
          sequence === 0 &&
          rules.judged.has(payload[0] ?? -1) &&
          Buffer.from(payload).toString() !== "\x02orders";
        assert.deepEqual(
          followed.pass,
          bytesOf(sent.map((packet) => (refused(packet) ? [0, instead] : packet))),
        );
        assert.deepEqual(
          followed.commands,
          sent
            .filter(([sequence, payload]) => sequence === 0 && payload.length > 0)
            .map(([, payload]) => ({ code: payload[0], payload: payload.slice(0, 16) })),
        );
      }),
      runs,
    ));

  it("lets no byte of a refused command through, byte by byte", () => {
    const stream = new CommandStream(rules);
    const secret = mysqlPacket(0, ascii("\x11root\0"));
    for (const [i, byte] of secret.entries()) {
      const said = stream.push(Uint8Array.of(byte));
      assert.deepEqual(
        join(said?.pass ?? []),
        i < secret.length - 1 ? new Uint8Array(0) : mysqlPacket(0, instead),
      );
    }
  });

  it("is not read out of a packet that goes on", () => {
    const whole = new Uint8Array(0xffffff).fill(0x78);
    whole[0] = command.query;
    const sent = join([mysqlPacket(0, whole), mysqlPacket(0, ascii("\x11not a command"))]);
    assert.deepEqual(follow(new CommandStream(rules), [sent])?.pass, sent);
    const after = join([sent, mysqlPacket(0, ascii("\x11but this"))]);
    assert.deepEqual(follow(new CommandStream(rules), [after])?.pass, join([sent, mysqlPacket(0, instead)]));
  });

  it("is not held beyond what such a command can be", () => {
    const long = new Uint8Array(70_000);
    long[0] = command.changeUser;
    assert.equal(follow(new CommandStream(rules), [mysqlPacket(0, long)]), null);
  });

  it("is told apart from files whose packets' numbers start over", () => {
    const file = (files: boolean, between: readonly Packet[] = []) => {
      const sent: Packet[] = [[0, ascii("\x03load data")]];
      for (let sequence = 2; sequence < 258; sequence++) sent.push([sequence & 255, ascii("\x11line")]);
      sent.push(...between);
      return [bytesOf(sent), follow(new CommandStream({ ...rules, files }), [bytesOf(sent)])?.pass] as const;
    };
    const [sent, passed] = file(true);
    assert.deepEqual(passed, sent);
    const [refusing, changed] = file(false);
    assert.notDeepEqual(changed, refusing);
    // The file ended, at whatever number: what comes next is a command.
    const ended: Packet[] = [];
    for (let sequence = 2; sequence < 256; sequence++) ended.push([sequence, ascii("x")]);
    const tail = [...ended.slice(0, -1), [255, new Uint8Array(0)] as const, [0, ascii("\x11bob")] as const];
    const all = bytesOf([[0, ascii("\x03load")], ...tail]);
    const kept = follow(new CommandStream({ ...rules, files: true }), [all])?.pass ?? new Uint8Array(0);
    assert.ok(Buffer.from(kept).includes("instead"));
  });
});

const none = { flags: 0, extended: 0 };
const deprecated = { flags: capability.deprecateEof, extended: 0 };
const moreFlag = 8;
const okay = (affected: number, status = 2): Uint8Array => Uint8Array.of(0, affected, 0, status, 0, 0, 0);
const eof = (status = 2): Uint8Array => Uint8Array.of(0xfe, 0, 0, status, 0);
const okayEof = (status = 2): Uint8Array => Uint8Array.of(0xfe, 0, 0, status, 0, 0, 0);
const failed = errorPayload({ code: 1146, state: "42S02", message: "no such table" });
const column = ascii("\x03def…");
const prepared = (parameters: number, columns: number): Uint8Array =>
  Uint8Array.of(0, 5, 0, 0, 0, columns, 0, parameters, 0, 0, 0, 0);

const asked = (code: number): Command => ({ code, payload: Uint8Array.of(code) });

/** What a server sends for these payloads. */
const answered = (payloads: readonly Uint8Array[]): Uint8Array =>
  join(payloads.map((payload, i) => mysqlPacket(i + 1, payload)));

function results(
  capabilities: { flags: number; extended: number },
  commands: readonly number[],
  chunks: readonly Uint8Array[],
): Result[] | null {
  const stream = new ResultStream(capabilities);
  for (const code of commands) stream.expect(asked(code));
  const found: Result[] = [];
  for (const chunk of chunks) {
    const some = stream.push(chunk);
    if (some === null) return null;
    found.push(...some);
  }
  assert.equal(stream.waiting, commands.length - found.length);
  return found;
}

describe("what MySQL's servers answer", () => {
  const went = (
    rows: number | null,
    error: number | null = null,
    statementId: number | null = null,
  ): Result => ({
    rows,
    error,
    statementId,
  });
  const cases: readonly [
    name: string,
    old: boolean,
    code: number,
    payloads: readonly Uint8Array[],
    Result,
  ][] = [
    ["rows changed", false, command.query, [okay(3)], went(3)],
    ["an error", false, command.query, [failed], went(null, 1146)],
    [
      "rows",
      false,
      command.query,
      [Uint8Array.of(2), column, column, ascii("\x01a"), ascii("\x01b"), okayEof()],
      went(2),
    ],
    [
      "rows, as it was",
      true,
      command.query,
      [Uint8Array.of(1), column, eof(), ascii("\x01a"), eof()],
      went(1),
    ],
    ["no rows", false, command.query, [Uint8Array.of(1), column, okayEof()], went(0)],
    [
      "an error within rows",
      true,
      command.query,
      [Uint8Array.of(1), column, eof(), ascii("\x01a"), failed],
      went(1, 1146),
    ],
    [
      "several results",
      false,
      command.query,
      [okay(2, moreFlag), Uint8Array.of(1), column, ascii("\x01a"), okayEof(moreFlag), okay(4)],
      went(7),
    ],
    [
      "a file",
      false,
      command.query,
      [ascii("\xfbname"), okay(9)].map((one, i) => (i === 0 ? Uint8Array.of(0xfb, 110) : one)),
      went(9),
    ],
    [
      "a statement to be run",
      true,
      command.prepare,
      [prepared(2, 1), column, column, eof(), column, eof()],
      went(null, null, 5),
    ],
    [
      "the same without ends",
      false,
      command.prepare,
      [prepared(2, 1), column, column, column],
      went(null, null, 5),
    ],
    ["one with nothing in it", true, command.prepare, [prepared(0, 0)], went(null, null, 5)],
    ["one that fails", true, command.prepare, [failed], went(null, 1146)],
    [
      "binary rows",
      true,
      command.execute,
      [Uint8Array.of(1), column, eof(), Uint8Array.of(0, 0, 1), eof()],
      went(1),
    ],
    ["a cursor", true, command.execute, [Uint8Array.of(1), column, eof(0x42)], went(0)],
    [
      "fetched rows",
      true,
      command.fetchRows,
      [Uint8Array.of(0, 0, 1), Uint8Array.of(0, 0, 1), eof(0x82)],
      went(2),
    ],
    ["columns of a table", true, command.fieldList, [column, column, eof()], went(2)],
    [
      "a change of user",
      true,
      command.changeUser,
      [ascii("\xfeother\0").slice(1), okay(0)].map((one, i) => (i === 0 ? Uint8Array.of(0xfe, 120, 0) : one)),
      went(null),
    ],
    ["a sign of life", true, 0x0e, [okay(0)], went(null)],
    ["statistics", true, 0x09, [ascii("Uptime: 1")], went(null)],
  ];
  for (const [name, old, code, payloads, result] of cases) {
    it(`is followed, however it is cut: ${name}`, () => {
      const capabilities = old ? none : deprecated;
      const bytes = answered(payloads);
      assert.deepEqual(results(capabilities, [code], [bytes]), [result]);
      assert.deepEqual(results(capabilities, [code, 0x0e], [bytes, answered([okay(0)])]), [
        result,
        went(null),
      ]);
      for (let at = 1; at < bytes.length; at++)
        assert.deepEqual(results(capabilities, [code], cut(bytes, [at])), [result]);
      assert.deepEqual(
        results(
          capabilities,
          [code],
          [...bytes].map((byte) => Uint8Array.of(byte)),
        ),
        [result],
      );
    });
  }

  it("is followed over rows as long as a packet, which begin as an end does", () => {
    const long = new Uint8Array(0xffffff).fill(0x61);
    long.set([0xfe, 0, 0, 0, 1, 0, 0, 0, 0]);
    const bytes = answered([Uint8Array.of(1), column, long, ascii("rest"), okayEof()]);
    assert.deepEqual(results(deprecated, [command.query], cut(bytes, [100_000, 9_000_000])), [went(1)]);
  });

  it("is waited for in order, and not for commands that have none", () => {
    const codes = [command.query, command.closeStatement, command.sendLongData, command.quit, 0x0e];
    const stream = new ResultStream(none);
    assert.deepEqual(
      codes.map((code) => stream.expect(asked(code))),
      [true, false, false, false, true],
    );
    assert.deepEqual(stream.push(answered([okay(1), okay(0)])), [went(1), went(null)]);
    // A last word of a server that shuts down is nobody's answer.
    assert.deepEqual(stream.push(answered([failed])), []);
  });

  it("is not followed into a stream of changes", () => {
    const stream = new ResultStream(none);
    stream.expect(asked(command.binlogDump));
    assert.deepEqual(stream.push(new Uint8Array(100_000).fill(0xff)), []);
  });

  it("is not made up where it is none", () =>
    assert.equal(results(none, [command.query], [answered([Uint8Array.of(0xfe)])]), null));

  it("makes nothing throw, and comes to the same however it is cut", () =>
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(0x03, 0x16, 0x17, 0x1c, 0x04, 0x11, 0x0e), { maxLength: 6 }),
        fc.array(
          fc.oneof(
            fc.uint8Array({ maxLength: 30 }),
            fc.constantFrom(okay(1), eof(), okayEof(8), failed, column, prepared(1, 1), Uint8Array.of(1)),
          ),
          { maxLength: 16 },
        ),
        places,
        fc.boolean(),
        (codes, payloads, at, old) => {
          const bytes = answered(payloads);
          const capabilities = old ? none : deprecated;
          const run = (chunks: readonly Uint8Array[]): Result[] | null => {
            const stream = new ResultStream(capabilities);
            for (const code of codes) stream.expect(asked(code));
            const found: Result[] = [];
            for (const chunk of chunks) {
              const some = stream.push(chunk);
              if (some === null) return null;
              found.push(...some);
            }
            return found;
          };
          assert.deepEqual(run(cut(bytes, at)), run(bytes.length === 0 ? [] : [bytes]));
        },
      ),
      runs,
    ));
});

describe("what packets are put together from", () => {
  it("is written as it is read", () => {
    const made = new Writer()
      .uint(3, 0x010203)
      .lengthEncoded(new Uint8Array(300))
      .zeroEnded("a")
      .text("b")
      .done();
    const reader = new Reader(made);
    assert.equal(reader.uint(3), 0x010203);
    assert.equal(reader.bytes(reader.lengthEncoded() ?? -1)?.length, 300);
    assert.deepEqual(reader.zeroEnded(), ascii("a"));
    assert.deepEqual(reader.rest(), ascii("b"));
    assert.equal(reader.uint(1), undefined);
    assert.equal(reader.left, 0);
  });
});
