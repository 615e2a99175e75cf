import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import {
  type ClientHello,
  clientHelloParser,
  maxHelloBytes,
  parseClientHello,
} from "../../src/wire/client-hello.ts";
import { isGrease, ja4, ja4Parts } from "../../src/wire/ja4.ts";
import { normaliseServerName } from "../../src/wire/server-name.ts";
import { clientHello, records } from "../support/client-hello.ts";
import { fromHex, vectors } from "../support/vectors.ts";

interface Reading {
  sni_hex: string[];
  alpn_hex: string[];
  legacy_version: string;
  supported_versions: string[];
  extension_types: number[];
  ja3: string | null;
}

interface Vectors {
  entries: {
    id: string;
    record_hex: string;
    handshake_hex: string;
    expect: Reading;
    published: { foxio_ja4?: string; foxio_ja4_ro?: string };
  }[];
  negative: { id: string; record_hex: string; note: string }[];
}

/** Refused here, read by others, and why. */
const refusedOnPurpose: Record<string, string> = {
  "ndpi:ossfuzz_seed_fake_traces_1.pcapng:5:1dcbc5b1": "fuzzed: a cipher suite list of odd length",
  "ndpi:tls_cipher_lens.pcap:1:01dbe5e0": "made wrong: a cipher suite list that runs past the message",
  "ndpi:tls_cipher_lens.pcap:3:a1e460cb": "made wrong: no null compression (RFC 8446 §4.1.2)",
  "ndpi:tls_invalid_reads.pcap:2:45467d41": "fuzzed: a protocol list that runs past its extension",
  "sniproxy:good_data_2:0:5f313d0d": "bytes after the ClientHello; its flight is one message (RFC 5246 §7.3)",
};

/** Published as …99_…, by tools older than the specification's present word on ids that are not ASCII. */
const otherJa4: Record<string, string> = {
  "ja4:tls-non-ascii-alpn.pcapng:0:74cc4695": "t13d1516bd_8daaf6152771_e5627efa2ab1",
};

const sha256Hex = (text: string): string => createHash("sha256").update(text).digest("hex");
const md5Hex = (text: string): string => createHash("md5").update(text).digest("hex");
const latin1Hex = (text: string): string => Buffer.from(text, "latin1").toString("hex");
const hex4 = (value: number): string => value.toString(16).padStart(4, "0");

/** The value of the answer, which must be one. */
function read(bytes: Uint8Array): ClientHello {
  const parsed = parseClientHello(bytes);
  assert.ok(parsed.kind === "ok", JSON.stringify(parsed));
  return parsed.value;
}

/** The message with one span of its bytes replaced; lengths in front of it are the caller's business. */
function patched(message: Uint8Array, at: number, remove: number, ...bytes: number[]): Uint8Array {
  const out = Uint8Array.from([...message.subarray(0, at), ...bytes, ...message.subarray(at + remove)]);
  const body = out.length - 4;
  out.set([body >> 16, (body >> 8) & 0xff, body & 0xff], 1);
  return out;
}

/** Where things are in what the builder makes: after the header, version, random. */
const offset = { version: 4, sessionId: 38, suites: 39, compression: 45, extensions: 47 };
const { data, skip } = vectors<Vectors>("client-hello.json");
const good = (data?.entries ?? []).filter(({ id }) => !(id in refusedOnPurpose));

describe("the ClientHello parser", () => {
  it("reads name, protocols and versions", () => {
    const parsed = parseClientHello(
      records(clientHello({ serverName: "a.example.com", alpn: ["h2", "http/1.1"] })),
    );
    assert.ok(parsed.kind === "ok");
    assert.equal(parsed.value.serverName, "a.example.com");
    assert.deepEqual(parsed.value.alpn, ["h2", "http/1.1"]);
  });

  it("reads a hello without extensions", () => {
    const parsed = parseClientHello(records(clientHello({ noExtensions: true })));
    assert.ok(parsed.kind === "ok");
    assert.equal(parsed.value.serverName, null);
    assert.deepEqual(parsed.value.alpn, []);
  });

  it("reads versions, groups, algorithms, the session id and GREASE as they stand", () => {
    const message = patched(
      clientHello({
        extra: [
          [0x1a1a, []],
          [43, [6, 0x2a, 0x2a, 3, 4, 3, 3]],
          [10, [0, 4, 0x3a, 0x3a, 0x11, 0xec]],
          [13, [0, 4, 0x4a, 0x4a, 4, 3]],
          [41, [0]],
        ],
      }),
      offset.sessionId,
      1,
      ...[3, 7, 8, 9],
    );
    const hello = read(records(message));
    assert.deepEqual(hello.versions, [0x2a2a, 0x0304, 0x0303]);
    assert.deepEqual(hello.supportedGroups, [0x3a3a, 0x11ec]);
    assert.deepEqual(hello.signatureAlgorithms, [0x4a4a, 0x0403]);
    assert.deepEqual(hello.extensions, [0x1a1a, 43, 10, 13, 41]);
  });

  it("takes the legacy version for the only one where no others are offered", () => {
    assert.deepEqual(read(records(clientHello())).versions, [0x0303]);
  });

  it("keeps a NUL in a name, which no later check may take for its end", () => {
    const hello = read(records(clientHello({ serverName: "a.example.com\0.evil.example" })));
    assert.equal(hello.serverName, "a.example.com\0.evil.example");
    assert.equal(normaliseServerName(hello.serverName), null);
  });

  it("gives the same answer whatever the records it is cut into, one byte each included", () => {
    const message = clientHello({ serverName: "a.example.com", alpn: ["h2"] });
    for (const size of [1, 2, 3, 4, 5, 17, 100, message.length]) {
      const bytes = records(message, size);
      const parsed = parseClientHello(bytes);
      assert.ok(parsed.kind === "ok", `records of ${size}`);
      assert.equal(parsed.value.serverName, "a.example.com");
      assert.equal(parsed.used, bytes.length);
    }
  });

  it("asks for more at every cut, and never for more than there is", () => {
    const bytes = records(clientHello({ serverName: "a.example.com", alpn: ["h2"] }), 40);
    for (let cut = 0; cut < bytes.length; cut++) {
      const parsed = parseClientHello(bytes.subarray(0, cut));
      assert.ok(parsed.kind === "more", `cut at ${cut}: ${parsed.kind}`);
      assert.ok(parsed.atLeast > cut && parsed.atLeast <= bytes.length, `cut at ${cut}: ${parsed.atLeast}`);
    }
  });

  const refused: [string, Uint8Array][] = [
    [
      "a name twice",
      clientHello({
        extra: [
          [0, [0, 4, 0, 0, 1, 97]],
          [0, [0, 4, 0, 0, 1, 98]],
        ],
      }),
    ],
    ["two names in one list", clientHello({ extra: [[0, [0, 8, 0, 0, 1, 97, 0, 0, 1, 98]]] })],
    ["an empty name", clientHello({ extra: [[0, [0, 3, 0, 0, 0]]] })],
    ["an empty protocol list", clientHello({ extra: [[16, [0, 0]]] })],
    ["an empty protocol id", clientHello({ extra: [[16, [0, 1, 0]]] })],
    ["bytes after a protocol list", clientHello({ extra: [[16, [0, 3, 2, 104, 50, 0]]] })],
    [
      "a pre-shared key that is not last",
      clientHello({
        extra: [
          [41, [0]],
          [23, []],
        ],
      }),
    ],
    ["a length that runs past its extension", clientHello({ extra: [[0, [0, 9, 0, 0, 1, 97]]] })],
    ["a name of an unknown type", clientHello({ extra: [[0, [0, 4, 1, 0, 1, 97]]] })],
    ["an empty server_name, which only servers send", clientHello({ extra: [[0, []]] })],
    ["bytes after a name list", clientHello({ extra: [[0, [0, 4, 0, 0, 1, 97, 0]]] })],
    [
      "the same GREASE extension twice",
      clientHello({
        extra: [
          [0x1a1a, []],
          [0x1a1a, [0]],
        ],
      }),
    ],
    ["an odd list of versions", clientHello({ extra: [[43, [3, 3, 4, 3]]] })],
    ["an empty list of versions", clientHello({ extra: [[43, [0]]] })],
    ["an odd list of signature algorithms", clientHello({ extra: [[13, [0, 3, 4, 3, 4]]] })],
    ["an odd list of groups", clientHello({ extra: [[10, [0, 1, 29]]] })],
    ["a version that is no TLS", patched(clientHello(), offset.version, 1, 2)],
    [
      "a session id of 33 bytes",
      patched(clientHello(), offset.sessionId, 1, 33, ...new Array<number>(33).fill(0)),
    ],
    ["cipher suites of odd length", patched(clientHello(), offset.suites, 6, 0, 3, 0x13, 1, 0)],
    ["no cipher suites", patched(clientHello(), offset.suites, 6, 0, 0)],
    ["no null compression", patched(clientHello(), offset.compression, 2, 1, 1)],
    ["an extension block that is cut short", patched(clientHello(), offset.extensions, 2, 0, 9, 0)],
    ["an extension that is cut short", patched(clientHello(), offset.extensions, 2, 0, 3, 0, 23, 0)],
    ["bytes after the extensions", patched(clientHello(), offset.extensions, 2, 0, 0, 0)],
    ["half a length of the extensions", patched(clientHello(), offset.extensions, 2, 0)],
    ["another handshake message", Uint8Array.from([2, 0, 0, 1, 0])],
    ["an empty message", Uint8Array.from([1, 0, 0, 0])],
    ["bytes after the ClientHello in its record", Uint8Array.from([...clientHello(), 14, 0, 0, 0])],
  ];
  for (const [what, message] of refused) {
    it(`refuses ${what}`, () => {
      const parsed = parseClientHello(records(message));
      assert.ok(parsed.kind === "no" && parsed.code === "malformed", parsed.kind);
    });
  }

  it("refuses an extension that comes twice, among however many", () => {
    for (const count of [2, 63, 64, 65, 66, 300]) {
      const extra: [number, number[]][] = Array.from({ length: count }, (_, i) => [1000 + i, []]);
      assert.equal(read(records(clientHello({ extra }))).extensions.at(-1), 999 + count);
      for (const again of [0, 1, count >> 1, count - 1]) {
        const parsed = parseClientHello(records(clientHello({ extra: [...extra, [1000 + again, []]] })));
        assert.equal(parsed.kind, "no", `${again} of ${count}`);
      }
    }
  });

  it("refuses another record type between the fragments", () => {
    const bytes = records(clientHello({ serverName: "a.example.com" }), 40);
    const second = bytes.slice();
    second[45] = 23;
    const parsed = parseClientHello(second);
    assert.ok(parsed.kind === "no" && parsed.code === "malformed");
  });

  it("refuses a record of another protocol between the fragments", () => {
    const bytes = records(clientHello({ serverName: "a.example.com" }), 40);
    bytes[46] = 2;
    const parsed = parseClientHello(bytes);
    assert.ok(parsed.kind === "no" && parsed.code === "malformed");
  });

  it("refuses an empty record, and one that is too long", () => {
    for (const head of [
      [22, 3, 1, 0, 0],
      [22, 3, 1, 0x40, 1],
    ]) {
      assert.equal(parseClientHello(Uint8Array.from(head)).kind, "no");
    }
  });

  it("refuses early: a wrong message, or more than it says, before the record is whole", () => {
    assert.equal(parseClientHello(Uint8Array.of(22, 3, 1, 1, 0, 2)).kind, "no");
    assert.equal(parseClientHello(Uint8Array.of(22, 3, 1, 1, 0, 1, 0, 0, 50)).kind, "no");
  });

  it("stops at 64 KiB, from the length alone", () => {
    const parsed = parseClientHello(Uint8Array.of(22, 3, 1, 0, 4, 1, 1, 0, 0));
    assert.ok(parsed.kind === "no" && parsed.code === "too_large");
  });

  it("counts the record headers into the 64 KiB", () => {
    // 11,000 bytes would do, but not with five more around each of them.
    const body = 11_000;
    const message = Uint8Array.from([1, 0, body >> 8, body & 0xff, ...new Array<number>(body).fill(0)]);
    const bytes = records(message, 1);
    const next = clientHelloParser();
    let atLeast = 0;
    for (let length = 1; length <= bytes.length; length++) {
      const parsed = next(bytes.subarray(0, length));
      if (parsed.kind === "no") {
        assert.equal(parsed.code, "too_large");
        assert.ok(length <= maxHelloBytes);
        return;
      }
      assert.ok(parsed.kind === "more");
      atLeast = Math.max(atLeast, parsed.atLeast);
      assert.ok(atLeast <= maxHelloBytes, `asks for ${atLeast}`);
    }
    assert.fail("was never refused");
  });

  it("answers a growing buffer as it answers the same bytes at once, at every cut", () => {
    const hello = clientHello({ serverName: "a.example.com", alpn: ["h2"] });
    for (const size of [1, 3, 40, 16_384]) {
      const bytes = records(hello, size);
      const next = clientHelloParser();
      for (let cut = 0; cut <= bytes.length; cut++) {
        const head = bytes.subarray(0, cut);
        assert.deepEqual(next(head), parseClientHello(head), `records of ${size}, cut at ${cut}`);
      }
    }
  });

  it("does not read the whole records of a growing buffer again: a slow sender would make that costly", () => {
    const bytes = records(clientHello({ serverName: "a.example.com" }), 10);
    const next = clientHelloParser();
    assert.equal(next(bytes.subarray(0, 32)).kind, "more");
    const spoiled = bytes.slice(0, 40);
    spoiled[15] = 23;
    assert.equal(parseClientHello(spoiled).kind, "no");
    assert.equal(next(spoiled).kind, "more");
  });

  it("says early that something is not TLS", () => {
    for (const text of ["GET / HTTP/1.1\r\n", "SSH-2.0-x\r\n", "\u0016x", "\u0080\u002e\u0001"]) {
      const parsed = parseClientHello(Uint8Array.from([...text].map((c) => c.charCodeAt(0))));
      assert.ok(parsed.kind === "no" && parsed.code === "not_tls", JSON.stringify(text));
    }
  });
});

describe("JA4", () => {
  const parts = (extra: [number, number[]][], alpn?: string[]): ReturnType<typeof ja4Parts> =>
    ja4Parts(read(records(clientHello(alpn === undefined ? { extra } : { extra, alpn }))));

  it("does not change with GREASE, in whichever list it stands", () => {
    const plain = parts([
      [43, [4, 3, 4, 3, 3]],
      [13, [0, 4, 4, 3, 8, 4]],
    ]);
    const greased = parts([
      [0x0a0a, []],
      [43, [6, 0xfa, 0xfa, 3, 4, 3, 3]],
      [13, [0, 6, 0x5a, 0x5a, 4, 3, 8, 4]],
      [0xbaba, [0]],
    ]);
    assert.deepEqual(greased, plain);
    assert.equal(plain.c, "000d,002b_0403,0804");
  });

  it("writes zeroes for what there is nothing of", () => {
    const fingerprint = ja4(read(records(clientHello({ noExtensions: true }))), sha256Hex);
    assert.match(fingerprint, /^t12i020000_[0-9a-f]{12}_000000000000$/);
  });

  it("writes the ends of the first protocol id, in hexadecimal where they are not letters or digits", () => {
    const ends = (id: string): string => parts([], [id]).a.slice(-2);
    assert.deepEqual(["h2", "http/1.1", "h", "\u00ab", "\u00ab\u00cd", "0\u00ab"].map(ends), [
      "h2",
      "h1",
      "hh",
      "ab",
      "ad",
      "3b",
    ]);
  });

  it("counts up to 99", () => {
    const many = Array.from({ length: 120 }, (_, i): [number, number[]] => [1000 + i, []]);
    assert.match(parts(many).a, /^t12i029900$/);
  });

  it("takes a list of extensions that differ in order alone for the same client", () => {
    const a: [number, number[]][] = [
      [23, []],
      [5, []],
    ];
    assert.deepEqual(parts(a), parts(a.toReversed()));
  });
});

describe("real ClientHellos", { skip }, () => {
  it("are all read as tshark reads them: name, protocols, versions, extensions", () => {
    for (const { id, record_hex, expect } of good) {
      const hello = read(fromHex(record_hex));
      const versions = hello.extensions.includes(43) ? hello.versions.map(hex4) : [];
      assert.deepEqual(hello.serverName === null ? [] : [latin1Hex(hello.serverName)], expect.sni_hex, id);
      assert.deepEqual(hello.alpn.map(latin1Hex), expect.alpn_hex, id);
      assert.equal(hex4(hello.legacyVersion), expect.legacy_version, id);
      assert.deepEqual(versions, expect.supported_versions, id);
      assert.deepEqual(hello.extensions, expect.extension_types, id);
    }
  });

  it("have the JA3 that tshark computes, which holds cipher suites and groups to account", () => {
    const list = (values: readonly number[]): string => values.filter((v) => !isGrease(v)).join("-");
    for (const { id, record_hex, expect } of good) {
      const { legacyVersion, cipherSuites, extensions, supportedGroups } = read(fromHex(record_hex));
      const lists = [cipherSuites, extensions, supportedGroups].map(list).join(",");
      // The point formats, which are not parsed, are one of these in every real client.
      const candidates = ["", "0", "0-1-2", "1-2-0", "0-2-1", "0-1", "2-1-0", "1", "2"];
      const hashes = candidates.map((formats) => md5Hex(`${legacyVersion},${lists},${formats}`));
      assert.ok(expect.ja3 === null || hashes.includes(expect.ja3), id);
    }
  });

  it("have the JA4 that its authors publish, hashed and in its parts", () => {
    let compared = 0;
    for (const { id, record_hex, published } of good) {
      if (published.foxio_ja4 === undefined) continue;
      const hello = read(fromHex(record_hex));
      assert.equal(ja4(hello, sha256Hex), otherJa4[id] ?? published.foxio_ja4, id);
      // The published text is in the client's order and still holds SNI and ALPN.
      const [, suites = "", extensions = "", algorithms] = published.foxio_ja4_ro?.split("_") ?? [];
      const sorted = extensions.split(",").filter((type) => type !== "0000" && type !== "0010");
      const { b, c } = ja4Parts(hello);
      assert.equal(b, suites.split(",").sort().join(","), id);
      assert.equal(
        c,
        [sorted.sort().join(","), algorithms].filter((part) => part !== undefined).join("_"),
        id,
      );
      compared++;
    }
    assert.equal(compared, 49);
  });

  it("give the same answer in records of any size, and ask for more at every cut", () => {
    for (const { id, record_hex, handshake_hex } of good) {
      const whole = read(fromHex(record_hex));
      for (const size of [1, 5, 257]) {
        const bytes = records(fromHex(handshake_hex), size);
        assert.deepEqual(read(bytes), whole, `${id}: records of ${size}`);
        const next = clientHelloParser();
        for (let cut = 0; cut < bytes.length; cut++) {
          const parsed = next(bytes.subarray(0, cut));
          assert.ok(
            parsed.kind === "more" && parsed.atLeast > cut && parsed.atLeast <= bytes.length,
            `${id}: records of ${size}, cut at ${cut}`,
          );
        }
      }
    }
  });

  it("are refused where they break the rules that others let pass", () => {
    const refused = (data?.entries ?? []).filter(({ id }) => id in refusedOnPurpose);
    assert.equal(refused.length, Object.keys(refusedOnPurpose).length);
    for (const { id, record_hex } of refused) {
      const parsed = parseClientHello(fromHex(record_hex));
      assert.ok(parsed.kind === "no" && parsed.code === "malformed", id);
    }
  });

  it("that must not parse do not, or yield no name", () => {
    for (const entry of data?.negative ?? []) {
      const parsed = parseClientHello(fromHex(entry.record_hex));
      assert.ok(
        parsed.kind !== "ok" || parsed.value.serverName !== "localhost",
        `${entry.id}: ${entry.note}`,
      );
    }
  });
});
