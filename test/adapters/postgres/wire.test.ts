import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  encodeCancel,
  encodeKey,
  encodeNegotiated,
  encodeStartup,
  parseAuthentication,
  parseCancel,
  parseError,
  parseKey,
  parseMessage,
  parseNegotiated,
  parseStartup,
} from "../../../src/adapters/postgres/wire.ts";
import type { Parsed } from "../../../src/wire/cursor.ts";
import { beginsAsPostgres, postgresFatal } from "../../../src/wire/postgres.ts";
import { share } from "../../support/fuzz.ts";

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));
const startup = { minor: 2, parameters: [["user", "app"] as const, ["database", "órders"] as const] };

/** Every beginning says how much more there must be, and what is behind changes nothing. */
function split<T>(parse: (bytes: Uint8Array) => Parsed<T>, bytes: Uint8Array, value: T): void {
  for (let end = 0; end < bytes.length; end++) {
    const part = parse(bytes.subarray(0, end));
    assert.equal(part.kind, "more", `${end}`);
    if (part.kind === "more") assert.ok(part.atLeast > end && part.atLeast <= bytes.length);
  }
  for (const behind of ["", "x"]) {
    const parsed = parse(Uint8Array.of(...bytes, ...ascii(behind)));
    assert.equal(parsed.kind, "ok");
    if (parsed.kind === "ok") {
      assert.deepEqual(parsed.value, value);
      assert.equal(parsed.used, bytes.length);
    }
  }
}

describe("Postgres's first messages", () => {
  it("a startup message, cut anywhere", () => split(parseStartup, encodeStartup(startup), startup));

  it("a request to cancel, cut anywhere", () => {
    for (const length of [4, 32, 256]) {
      const key = { pid: 4711, secret: new Uint8Array(length).fill(7) };
      split(parseCancel, encodeCancel(key), key);
    }
  });

  for (const [what, bytes] of [
    [
      "a name twice",
      encodeStartup({
        minor: 0,
        parameters: [
          ["user", "a"],
          ["user", "b"],
        ],
      }),
    ],
    ["no end", ascii("\0\0\0\x0c\0\x03\0\0user")],
    ["a value that is missing", ascii("\0\0\0\x0d\0\x03\0\0user\0")],
    ["no UTF-8", ascii("\0\0\0\x10\0\x03\0\0user\0\xff\0\0")],
    ["something behind the end", ascii("\0\0\0\x10\0\x03\0\0user\0\0\0x")],
    ["protocol 2", ascii("\0\0\0\x09\0\x02\0\0\0")],
    ["protocol 4", ascii("\0\0\0\x09\0\x04\0\0\0")],
  ] as const) {
    it(`a startup message with ${what} is none`, () => assert.equal(parseStartup(bytes).kind, "no"));
  }

  it("begin as nothing else does", () => {
    for (const text of [
      "\x16\x03\x01",
      "GET / HTTP/1.1",
      "SSH-2.0",
      "\0\x01",
      "\0\0\x01\0\x04\xd2\x16\x2f",
      "PROXY",
    ])
      assert.equal(beginsAsPostgres(ascii(text)).kind, "no", text);
    assert.equal(beginsAsPostgres(ascii("\0\0")).kind, "more");
    // A startup message is told by its first eight bytes, before the rest is there.
    assert.equal(beginsAsPostgres(encodeStartup(startup).subarray(0, 8)).kind, "ok");
  });
});

describe("Postgres's messages", () => {
  const key = { pid: 1, secret: Uint8Array.of(1, 2, 3, 4) };

  it("one message, cut anywhere", () => {
    const bytes = encodeKey(key);
    split(
      (input) => {
        const parsed = parseMessage(input, 100);
        return parsed.kind === "ok"
          ? { ...parsed, value: [parsed.value.type, [...parsed.value.body]] }
          : parsed;
      },
      bytes,
      ["K", [...bytes.subarray(5)]],
    );
  });

  it("are bounded, and have a length that counts itself", () => {
    assert.equal(parseMessage(ascii("K\0\0\x01\0"), 255).kind, "no");
    assert.equal(parseMessage(ascii("K\0\0\0\x03"), 255).kind, "no");
    assert.equal(parseMessage(ascii("\0\0\0\0\x04"), 255).kind, "no");
  });

  it("come back as they went", () => {
    assert.deepEqual(parseKey(encodeKey(key).subarray(5)), key);
    const negotiated = { version: 0x30002, unknown: ["_pq_.a", "_pq_.b"] };
    assert.deepEqual(parseNegotiated(encodeNegotiated(negotiated).subarray(5)), negotiated);
    const fatal = postgresFatal("28000", "no\0t you");
    assert.deepEqual(parseError(fatal.subarray(5)), {
      severity: "FATAL",
      code: "28000",
      message: "no t you",
    });
  });

  it("of a login", () => {
    const read = (text: string) => parseAuthentication(ascii(text));
    assert.deepEqual(read("\0\0\0\0"), { kind: "ok" });
    assert.deepEqual(read("\0\0\0\x05abcd"), { kind: "md5", salt: ascii("abcd") });
    assert.deepEqual(read("\0\0\0\x0aSCRAM-SHA-256\0X\0\0"), {
      kind: "sasl",
      mechanisms: ["SCRAM-SHA-256", "X"],
    });
    assert.deepEqual(read("\0\0\0\x07"), { kind: "other", code: 7 });
    for (const wrong of ["", "\0\0\0", "\0\0\0\0x", "\0\0\0\x05abc", "\0\0\0\x0aX", "\0\0\0\x0aX\0\0x"])
      assert.equal(read(wrong), undefined, JSON.stringify(wrong));
  });
});

describe("whatever comes", () => {
  const bytes = fc.uint8Array({ maxLength: 300 });
  /** Good beginnings, with bytes changed here and there. */
  const mutated = fc
    .tuple(
      fc.constantFrom(
        encodeStartup(startup),
        encodeCancel({ pid: 1, secret: new Uint8Array(32) }),
        encodeNegotiated({ version: 1, unknown: ["a"] }),
        postgresFatal("28000", "no"),
      ),
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
    )
    .map(([seed, changes]) => {
      const changed = seed.slice();
      for (const [at, value] of changes) changed[at % changed.length] = value;
      return changed;
    });
  for (const [name, parse] of [
    ["startup", parseStartup],
    ["cancel", parseCancel],
    ["message", (input: Uint8Array) => parseMessage(input, 1000)],
    ["beginning", beginsAsPostgres],
  ] as const) {
    it(`${name}: never throws, never reads past the end, asks for more than there is`, () =>
      fc.assert(
        fc.property(fc.oneof(bytes, mutated), (input) => {
          const parsed: Parsed<unknown> = parse(input);
          if (parsed.kind === "ok") {
            assert.ok(parsed.used <= input.length);
            assert.deepEqual(parse(input.slice(0, parsed.used)), parsed);
          }
          if (parsed.kind === "more") assert.ok(parsed.atLeast > input.length);
        }),
        { numRuns: share(20_000) },
      ));
  }
  it("bodies: never throws", () =>
    fc.assert(
      fc.property(fc.oneof(bytes, mutated), (input) => {
        parseAuthentication(input);
        parseNegotiated(input);
        parseKey(input);
        parseError(input);
      }),
      { numRuns: share(20_000) },
    ));
});
