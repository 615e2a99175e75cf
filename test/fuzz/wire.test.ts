import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { readDocument, writeDocument } from "../../src/wire/bson.ts";
import { clientHelloParser, parseClientHello } from "../../src/wire/client-hello.ts";
import type { Parsed } from "../../src/wire/cursor.ts";
import { type ProxyAnswer, parseProxyAnswer } from "../../src/wire/http-connect.ts";
import { type Cidr, cidrContains, cidrsOverlap, formatIp, parseCidr, parseIp } from "../../src/wire/ip.ts";
import { isGrease, ja4Parts } from "../../src/wire/ja4.ts";
import {
  commandMessage,
  opCodes,
  parseCommand,
  parseCommandName,
  parseMessageHeader,
  parseQuery,
  queryWith,
} from "../../src/wire/mongodb.ts";
import { mysqlPacket, parseMysqlPacket } from "../../src/wire/mysql/packet.ts";
import { parseNotTls } from "../../src/wire/not-tls.ts";
import { parsePostgresOpening } from "../../src/wire/postgres.ts";
import {
  encodeProxyV1,
  encodeProxyV2,
  type ProxyFacts,
  parseProxyHeader,
  parseSslTlv,
} from "../../src/wire/proxy-protocol.ts";
import { parseBulk, parseReplyLine, parseRequest, parseRequestHead, request } from "../../src/wire/redis.ts";
import { normaliseServerName } from "../../src/wire/server-name.ts";
import { type Identification, parseIdentification } from "../../src/wire/ssh-identification.ts";
import { frame, opcodes, parseFrameHeader } from "../../src/wire/websocket.ts";
import { clientHello, records } from "../support/client-hello.ts";
import { baseSeed, seed, share } from "../support/fuzz.ts";

type Parser = (bytes: Uint8Array) => Parsed<unknown>;

interface Target {
  readonly name: string;
  readonly parse: Parser;
  readonly seeds: readonly Uint8Array[];
  /** Mutated and random inputs; more than a million over all targets. */
  readonly inputs: number;
  /** What must hold of a value read from whatever input. */
  readonly sound?: (value: unknown) => void;
}

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));

const facts: ProxyFacts = {
  source: { address: "2001:db8::7", port: 51000 },
  destination: { address: "2001:db8::1", port: 8443 },
  alpn: "h2",
  authority: "a.example.com",
  tls: { version: "TLSv1.3", resumed: false, commonName: "alice", certificate: Uint8Array.of(48, 0) },
};
const ipv4Facts: ProxyFacts = {
  source: { address: "192.0.2.7", port: 51000 },
  destination: { address: "198.51.100.1", port: 8443 },
  alpn: null,
  authority: null,
  tls: null,
};

const hello = clientHello({
  serverName: "a.example.com",
  alpn: ["h2", "http/1.1"],
  extra: [
    [0x1a1a, []],
    [10, [0, 4, 0x11, 0xec, 0, 29]],
    [13, [0, 4, 4, 3, 8, 4]],
    [43, [4, 3, 4, 3, 3]],
    [41, [0]],
  ],
});

const helloQuery = queryWith(
  {
    header: { length: 0, requestId: 1, responseTo: 0, opCode: opCodes.query },
    collection: "admin.$cmd",
    body: [],
  },
  readDocument(writeDocument({ isMaster: 1, helloOk: true })) ?? [],
);

const targets: readonly Target[] = [
  {
    name: "ClientHello",
    parse: parseClientHello,
    seeds: [records(hello), records(hello, 40), records(hello, 7), records(hello, 1)],
    inputs: share(500_000),
  },
  {
    name: "PROXY header",
    parse: parseProxyHeader,
    seeds: [facts, ipv4Facts].flatMap((one) => [encodeProxyV1(one), encodeProxyV2(one)]),
    inputs: share(400_000),
  },
  {
    name: "not-TLS",
    parse: parseNotTls,
    seeds: ["GET / HTTP/1.1", "PRI * HTTP/2.0\r\n", "SSH-2.0", "PROXY TCP4", "\r\n\r\n\0\r\nQUIT\n"].map(
      ascii,
    ),
    inputs: share(100_000),
  },
  {
    name: "WebSocket frame header",
    parse: parseFrameHeader,
    seeds: [0, 125, 126, 65_535, 65_536].flatMap((length) =>
      [null, Uint8Array.of(1, 2, 3, 4)].map((mask) =>
        frame(opcodes.binary, new Uint8Array(length), mask).subarray(0, 14),
      ),
    ),
    inputs: share(50_000),
  },
  {
    name: "answer of an HTTP proxy",
    parse: parseProxyAnswer,
    seeds: [
      "HTTP/1.1 200 Connection established\r\n\r\n\x16\x03",
      "HTTP/1.0 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n\r\nno",
      "HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 204\n\n",
    ].map(ascii),
    inputs: share(50_000),
    sound: (value: unknown) => {
      const { status, phrase } = value as ProxyAnswer;
      assert.ok(status >= 200 && status < 1000);
      assert.match(phrase, /^[\x20-\x7e]*$/);
    },
  },
  {
    name: "Postgres opening",
    parse: parsePostgresOpening,
    seeds: [
      Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 47),
      Uint8Array.of(0, 0, 0, 8, 4, 210, 22, 48),
      Uint8Array.of(0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2),
      Uint8Array.of(0, 0, 0, 17, 0, 3, 0, 0, ...ascii("user\0me\0\0")),
    ],
    inputs: share(50_000),
  },
  ...(["client", "server"] as const).map((from) => ({
    name: `SSH identification of a ${from}`,
    parse: (bytes: Uint8Array) => parseIdentification(bytes, from),
    seeds: ["SSH-2.0-OpenSSH_9.2p1 Debian\r\n", "SSH-1.99-Cisco-1.25\n", "Welcome\r\n\nSSH-2.0-x\r\n"].map(
      ascii,
    ),
    inputs: share(50_000),
    sound: (value: unknown) => assert.match((value as Identification).software, /^[\x20-\x7e]{1,246}$/),
  })),
  {
    name: "MySQL packet",
    parse: parseMysqlPacket,
    seeds: [mysqlPacket(0, ascii("\x0a5.5.5-10.11\0")), mysqlPacket(1, new Uint8Array(32))],
    inputs: share(50_000),
  },
  ...[parseRequest, parseRequestHead].map((parse) => ({
    name: `Redis ${parse === parseRequest ? "command" : "command's beginning"}`,
    parse,
    seeds: [
      request(["HELLO", "3", "AUTH", "alice", "secret", "SETNAME", "x"]),
      request(["GET", "\r\n$3\r\n"]),
      ...["*0\r\n", "*-1\r\n", "\r\n", "PING\n", `set "a\\x0a\\n" 'b\\''\r\n`].map(ascii),
    ],
    inputs: share(50_000),
  })),
  ...[
    { name: "command", parse: (bytes: Uint8Array) => parseCommand(bytes, 60_000) },
    { name: "command's name", parse: parseCommandName },
    { name: "message header", parse: parseMessageHeader },
    { name: "query", parse: parseQuery },
  ].map(({ name, parse }) => ({
    name: `MongoDB ${name}`,
    parse,
    seeds:
      parse === parseQuery
        ? [helloQuery]
        : [
            commandMessage(1, { hello: 1, client: { driver: { name: "x" } }, $db: "admin" }),
            commandMessage(2, { saslStart: 1, payload: Uint8Array.of(1, 2, 3), autoAuthorize: true }),
          ],
    inputs: share(50_000),
  })),
  {
    name: "Redis bulk string",
    parse: (bytes) => parseBulk(bytes, 60_000),
    seeds: ["$0\r\n\r\n", "$5\r\nhello\r\n", "$12\r\n\r\n$3\r\nend\r\n\r\n"].map(ascii),
    inputs: share(50_000),
  },
  {
    name: "Redis reply line",
    parse: parseReplyLine,
    seeds: ["+OK\r\n", "-WRONGPASS invalid username-password pair or user is disabled.\r\n"].map(ascii),
    inputs: share(50_000),
  },
];

/** Small and fast (mulberry32), so that a million inputs fit into CI time and come again with the same seed. */
function generator(start: number): () => number {
  let state = start >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

/** Values at the edges of length fields, which random ones seldom meet. */
const edges = [0, 1, 2, 3, 4, 0x10, 0x20, 0x40, 0x7f, 0x80, 0xfe, 0xff];

/** One to four changes: a byte set, nudged or flipped, a span dropped, doubled or taken from another seed. */
function mutate(from: Uint8Array, other: Uint8Array, next: () => number): Uint8Array {
  let bytes = from.slice();
  for (let changes = 1 + (next() % 4); changes > 0 && bytes.length > 0; changes--) {
    const at = next() % bytes.length;
    const span = next() % 8;
    const old = bytes[at] ?? 0;
    switch (next() % 8) {
      case 0:
        bytes[at] = next();
        break;
      case 1:
        bytes[at] = edges[next() % edges.length] ?? 0;
        break;
      case 2:
        bytes[at] = old + 1;
        break;
      case 3:
        bytes[at] = old - 1;
        break;
      case 4:
        bytes[at] = old ^ (1 << (next() & 7));
        break;
      case 5:
        bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(at + span)]);
        break;
      case 6:
        bytes = Uint8Array.from([...bytes.subarray(0, at + span), ...bytes.subarray(at)]);
        break;
      default:
        bytes.set(other.subarray(0, bytes.length - at).subarray(at, at + span), at);
    }
  }
  return next() % 4 === 0 ? bytes.subarray(0, next() % (bytes.length + 1)) : bytes;
}

/** A random one now and then, or else a mutated one. */
function inputOf(target: Target, next: () => number): Uint8Array {
  if (next() % 8 === 0) return Uint8Array.from({ length: next() % 64 }, next);
  const [from, other] = [next(), next()].map((n) => target.seeds[n % target.seeds.length]);
  assert.ok(from !== undefined && other !== undefined);
  return mutate(from, other, next);
}

/** What must hold of any answer to any input. */
function check(answer: Parsed<unknown>, input: Uint8Array): void {
  if (answer.kind === "ok") assert.ok(answer.used >= 0 && answer.used <= input.length);
  else if (answer.kind === "more") assert.ok(answer.atLeast > input.length && answer.atLeast <= 65_536);
  else assert.ok(answer.detail.length > 0);
}

for (const target of targets) {
  const { name, parse, seeds, inputs } = target;

  /** fast-check's inputs: a mutated seed, made from a number so that it can be made again. */
  const mutated = fc.nat().map((n) => inputOf(target, generator(n)));

  describe(`the ${name} parser`, () => {
    it(`answers ${inputs} mutated and random inputs in bounds (FUZZ_SEED=${baseSeed})`, () => {
      const next = generator(seed);
      const kinds = { ok: 0, more: 0, no: 0 };
      for (let i = 0; i < inputs; i++) {
        const input = inputOf(target, next);
        const answer = parse(input);
        check(answer, input);
        kinds[answer.kind]++;
      }
      // Inputs that all fail at the first byte would prove nothing.
      assert.ok(kinds.ok > inputs / 100 && kinds.more > inputs / 100, JSON.stringify(kinds));
    });

    it("never throws on arbitrary bytes", () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 600 }), (input) => check(parse(input), input)),
        { seed, numRuns: share(2000) },
      );
    });

    it("does not look past its input, nor before it", () => {
      fc.assert(
        fc.property(
          mutated,
          fc.uint8Array({ maxLength: 8 }),
          fc.uint8Array({ maxLength: 64 }),
          (input, before, after) => {
            const around = Uint8Array.from([...before, ...input, ...after]);
            const view = around.subarray(before.length, before.length + input.length);
            assert.deepEqual(parse(view), parse(input));
          },
        ),
        { seed, numRuns: share(20_000) },
      );
    });

    it("leaves its input as it was", () => {
      fc.assert(
        fc.property(mutated, (input) => {
          const before = input.slice();
          parse(input);
          assert.deepEqual(input, before);
        }),
        { seed, numRuns: share(5000) },
      );
    });

    it("asks for more on every beginning of what it takes, for no more than that, and ignores the rest", () => {
      const next = generator(seed);
      let good = 0;
      for (let i = 0; i < 1000; i++) {
        const input = i < seeds.length ? seeds[i] : inputOf(target, next);
        assert.ok(input !== undefined);
        const whole = parse(input);
        if (whole.kind !== "ok") continue;
        good++;
        for (let cut = 0; cut < whole.used; cut++) {
          const part = parse(input.subarray(0, cut));
          if (part.kind === "ok") assert.deepEqual([name, part.value], ["not-TLS", whole.value]);
          else
            assert.ok(
              part.kind === "more" && part.atLeast > cut && part.atLeast <= whole.used,
              `${input}: ${cut}`,
            );
        }
        const longer = Uint8Array.from([...input.subarray(0, whole.used), next(), next(), next()]);
        if (name !== "not-TLS") assert.deepEqual(parse(longer), whole);
      }
      assert.ok(good >= seeds.length);
    });

    it("takes nothing back: what is refused stays refused, whatever follows", () => {
      fc.assert(
        fc.property(mutated, fc.uint8Array({ minLength: 1, maxLength: 64 }), (input, tail) => {
          if (parse(input).kind === "no") {
            assert.equal(parse(Uint8Array.from([...input, ...tail])).kind, "no");
          }
        }),
        { seed, numRuns: share(20_000) },
      );
    });
  });
}

describe("the ClientHello parser of a growing buffer", () => {
  it("answers as if every call were the first", () => {
    const target = targets[0];
    assert.ok(target !== undefined);
    fc.assert(
      fc.property(fc.nat(), fc.array(fc.nat(600), { maxLength: 12 }), (n, cuts) => {
        const input = inputOf(target, generator(n));
        const parse = clientHelloParser();
        for (const cut of [...cuts.filter((c) => c < input.length).sort((a, b) => a - b), input.length]) {
          const head = input.subarray(0, cut);
          const answer = parse(head);
          assert.deepEqual(answer, parseClientHello(head));
          if (answer.kind !== "more") break;
        }
      }),
      { seed, numRuns: share(10_000) },
    );
  });

  it("reads the same hello whatever the records it is cut into", () => {
    const whole = parseClientHello(records(hello));
    assert.ok(whole.kind === "ok");
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 20 }), (sizes) => {
        const pieces: number[] = [];
        let at = 0;
        for (const size of [...sizes, hello.length]) {
          if (at < hello.length) pieces.push(...records(hello.subarray(at, at + size)));
          at += size;
        }
        const parsed = parseClientHello(Uint8Array.from(pieces));
        assert.ok(parsed.kind === "ok" && parsed.used === pieces.length);
        assert.deepEqual(parsed.value, whole.value);
      }),
      { seed, numRuns: share(5000) },
    );
  });

  it("gives hellos that have a JA4 of the form it must have", () => {
    const target = targets[0];
    assert.ok(target !== undefined);
    const next = generator(seed);
    for (let i = 0; i < share(20_000); i++) {
      const parsed = parseClientHello(inputOf(target, next));
      if (parsed.kind !== "ok") continue;
      const { a, b, c } = ja4Parts(parsed.value);
      assert.match(a, /^t(1[0-3]|s[23]|d[123]|00)[di]\d{4}[0-9A-Za-z]{2}$/);
      assert.match(`${b},${c}`, /^[0-9a-f,_]*$/);
      const values = `${b},${c}`.split(/[,_]/).map((text) => Number.parseInt(text, 16));
      assert.ok(!values.some(isGrease), b + c);
    }
  });
});

describe("PROXY headers", () => {
  const ip = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  );
  // Through text and back, so that a mapped address is the IPv4 one that is read.
  const address = ip.map((bytes) => formatIp(parseIp(formatIp([...bytes])) ?? [...bytes]));
  const endpoint = fc.record({ address, port: fc.nat(65535) }, { noNullPrototype: true });
  const arbitraryFacts: fc.Arbitrary<ProxyFacts> = fc.record({
    source: endpoint,
    destination: endpoint,
    alpn: fc.option(fc.string({ minLength: 1, maxLength: 255 })),
    authority: fc.option(fc.string({ minLength: 1, maxLength: 253 })),
    tls: fc.option(
      fc.record({
        version: fc.constantFrom("TLSv1.2", "TLSv1.3"),
        resumed: fc.boolean(),
        commonName: fc.option(fc.string({ unit: "grapheme", maxLength: 64 })),
        certificate: fc.option(fc.uint8Array({ maxLength: 2000 })),
      }),
    ),
  });

  it("of either version read back as what was told", () => {
    fc.assert(
      fc.property(arbitraryFacts, (told) => {
        for (const bytes of [encodeProxyV1(told), encodeProxyV2(told)]) {
          const parsed = parseProxyHeader(bytes);
          assert.ok(parsed.kind === "ok" && parsed.used === bytes.length);
          assert.deepEqual(parsed.value.source, told.source);
          assert.deepEqual(parsed.value.destination, told.destination);
          if (parsed.value.version === 1) continue;
          const text = (type: number): string | null => {
            const found = parsed.value.tlvs.find((tlv) => tlv.type === type);
            return found === undefined ? null : new TextDecoder().decode(found.value);
          };
          assert.equal(text(1), told.alpn);
          assert.equal(text(2), told.authority);
          const ssl = parsed.value.tlvs.find((tlv) => tlv.type === 0x20);
          const read = ssl === undefined ? null : parseSslTlv(ssl.value);
          assert.equal(read === null, told.tls === null);
          const given = told.tls !== null && told.tls.certificate !== null;
          assert.equal(read?.verified ?? false, given);
          const certificate = read?.tlvs.find((tlv) => tlv.type === 0x28)?.value;
          assert.deepEqual([...(certificate ?? [])], [...(told.tls?.certificate ?? [])]);
        }
      }),
      { seed, numRuns: share(3000) },
    );
  });
});

describe("server names", () => {
  it("are normalised once and for all, to ASCII, whatever the input", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 300 }), (raw) => {
        const name = normaliseServerName(raw);
        if (name === null) return;
        assert.equal(normaliseServerName(name), name);
        assert.match(raw, /^[\x21-\x7e]+$/);
      }),
      { seed, numRuns: share(20_000) },
    );
  });

  it("stay what they are in any case and with a final dot, and no address is one", () => {
    const label = fc.stringMatching(/^[a-z_][a-z0-9_]{0,20}$/);
    fc.assert(
      fc.property(fc.array(label, { minLength: 1, maxLength: 8 }), (labels) => {
        const name = labels.join(".");
        assert.equal(normaliseServerName(`${name.toUpperCase()}.`), name);
      }),
      { seed, numRuns: share(5000) },
    );
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.ipV4Extended()), (address) => {
        assert.equal(normaliseServerName(address), null);
      }),
      { seed, numRuns: share(5000) },
    );
  });
});

describe("addresses and networks", () => {
  it("are written in one way only, which reads back", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        const ip = parseIp(text);
        assert.ok(ip !== null, text);
        const written = formatIp(ip);
        assert.deepEqual(parseIp(written), ip);
        assert.equal(formatIp(parseIp(written.toUpperCase()) ?? []), written);
      }),
      { seed, numRuns: share(20_000) },
    );
  });

  it("never make a reader throw", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9a-f:./%[\]]{0,48}$/), (text) => {
        const ip = parseIp(text);
        assert.ok(ip === null || ip.length === 4 || ip.length === 16);
        const cidr = parseCidr(text);
        assert.ok(cidr === null || cidrContains(cidr, cidr.ip));
      }),
      { seed, numRuns: share(20_000) },
    );
  });

  it("overlap exactly when one holds the other's first address", () => {
    const network = fc.tuple(fc.nat(0xffff), fc.nat(16)).map(([value, bits]): Cidr => {
      const kept = (value >> (16 - bits)) << (16 - bits);
      return { ip: [10, 0, kept >> 8, kept & 0xff], bits: 16 + bits };
    });
    fc.assert(
      fc.property(network, network, (a, b) => {
        const expected = cidrContains(a, b.ip) || cidrContains(b, a.ip);
        assert.equal(cidrsOverlap(a, b), expected);
        assert.equal(cidrsOverlap(b, a), expected);
        assert.deepEqual(parseCidr(`${formatIp(a.ip)}/${a.bits}`), a);
      }),
      { seed, numRuns: share(10_000) },
    );
  });
});
