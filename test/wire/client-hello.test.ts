import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { parseClientHello } from "../../src/wire/client-hello.ts";
import { ja4 } from "../../src/wire/ja4.ts";
import { clientHello, records } from "../support/client-hello.ts";
import { fromHex, vectors } from "../support/vectors.ts";

interface Vectors {
  entries: {
    id: string;
    record_hex: string;
    expect: { sni: string | null; alpn: string[] };
    published: { foxio_ja4?: string };
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

/** JA4 has changed its mind about protocol ids that are not ASCII: this is the specification's present word. */
const otherJa4: Record<string, string> = {
  "ja4:tls-non-ascii-alpn.pcapng:0:74cc4695": "t13d1516bd_8daaf6152771_e5627efa2ab1",
};

const sha256Hex = (text: string): string => createHash("sha256").update(text).digest("hex");
const { data, skip } = vectors<Vectors>("client-hello.json");

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
  ];
  for (const [what, message] of refused) {
    it(`refuses ${what}`, () => {
      const parsed = parseClientHello(records(message));
      assert.ok(parsed.kind === "no" && parsed.code === "malformed", parsed.kind);
    });
  }

  it("refuses another record type between the fragments", () => {
    const bytes = records(clientHello({ serverName: "a.example.com" }), 40);
    const second = bytes.slice();
    second[45] = 23;
    const parsed = parseClientHello(second);
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

  it("stops at 64 KiB, from the length alone", () => {
    const parsed = parseClientHello(Uint8Array.of(22, 3, 1, 0, 4, 1, 1, 0, 0));
    assert.ok(parsed.kind === "no" && parsed.code === "too_large");
  });

  it("says early that something is not TLS", () => {
    for (const text of ["GET / HTTP/1.1\r\n", "SSH-2.0-x\r\n", "\u0016x", "\u0080\u002e\u0001"]) {
      const parsed = parseClientHello(Uint8Array.from([...text].map((c) => c.charCodeAt(0))));
      assert.ok(parsed.kind === "no" && parsed.code === "not_tls", JSON.stringify(text));
    }
  });
});

describe("real ClientHellos", { skip }, () => {
  it("are all read, with the name, the protocols and the JA4 that others read", () => {
    for (const entry of data?.entries ?? []) {
      const parsed = parseClientHello(fromHex(entry.record_hex));
      if (entry.id in refusedOnPurpose) {
        assert.equal(parsed.kind, "no", entry.id);
        continue;
      }
      assert.ok(parsed.kind === "ok", `${entry.id}: ${JSON.stringify(parsed)}`);
      assert.equal(parsed.value.serverName, entry.expect.sni, entry.id);
      assert.deepEqual(parsed.value.alpn, entry.expect.alpn, entry.id);
      const fingerprint = otherJa4[entry.id] ?? entry.published.foxio_ja4;
      if (fingerprint !== undefined) assert.equal(ja4(parsed.value, sha256Hex), fingerprint, entry.id);
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
