import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  encodeProxyV1,
  encodeProxyV2,
  type ProxyFacts,
  parseProxyHeader,
} from "../../src/wire/proxy-protocol.ts";
import { fromHex, vectors } from "../support/vectors.ts";

interface Vectors {
  vectors: {
    id: string;
    input_hex: string;
    result: "ok" | "error" | "incomplete";
    input_truncated: boolean;
    upstream_error?: string;
    expect?: {
      command: string;
      header_length: number;
      src?: string;
      dst?: string;
      src_port?: number;
      dst_port?: number;
    };
  }[];
}

const { data, skip } = vectors<Vectors>("proxy-protocol.json");

const facts: ProxyFacts = {
  source: { address: "192.0.2.7", port: 51000 },
  destination: { address: "198.51.100.1", port: 8443 },
  alpn: "h2",
  authority: "a.example.com",
  tls: { version: "TLSv1.3", commonName: "alice", certificate: Uint8Array.of(48, 3, 1, 2, 3) },
};

describe("PROXY headers out", () => {
  it("v1 says the addresses", () => {
    assert.equal(
      new TextDecoder().decode(encodeProxyV1(facts)),
      "PROXY TCP4 192.0.2.7 198.51.100.1 51000 8443\r\n",
    );
  });

  it("v1 writes both addresses in one family", () => {
    const line = new TextDecoder().decode(
      encodeProxyV1({ ...facts, source: { address: "2001:db8::1", port: 1 } }),
    );
    assert.equal(line, "PROXY TCP6 2001:db8::1 ::ffff:c633:6401 1 8443\r\n");
  });

  it("v2 carries ALPN, authority, TLS version, common name and certificate, and reads back", () => {
    const bytes = encodeProxyV2(facts);
    const parsed = parseProxyHeader(bytes);
    assert.ok(parsed.kind === "ok");
    assert.equal(parsed.used, bytes.length);
    assert.deepEqual(parsed.value.source, facts.source);
    assert.deepEqual(parsed.value.destination, facts.destination);
    const [alpn, authority, ssl] = parsed.value.tlvs;
    assert.deepEqual([alpn?.type, authority?.type, ssl?.type], [0x01, 0x02, 0x20]);
    assert.equal(new TextDecoder().decode(authority?.value), "a.example.com");
    assert.deepEqual([...(ssl?.value.subarray(0, 5) ?? [])], [0x03, 0, 0, 0, 0]);
    assert.ok(new TextDecoder("latin1").decode(ssl?.value).includes("alice"));
  });

  it("v2 does not claim a verified certificate where there was none", () => {
    const parsed = parseProxyHeader(
      encodeProxyV2({ ...facts, tls: { version: "TLSv1.2", commonName: null, certificate: null } }),
    );
    assert.ok(parsed.kind === "ok");
    const ssl = parsed.value.tlvs[2]?.value;
    assert.deepEqual([...(ssl?.subarray(0, 5) ?? [])], [0x01, 0, 0, 0, 1]);
  });
});

describe("PROXY headers in", () => {
  it("ask for more at every cut and never for more than there is", () => {
    for (const bytes of [encodeProxyV1(facts), encodeProxyV2(facts)]) {
      for (let cut = 0; cut < bytes.length; cut++) {
        const parsed = parseProxyHeader(bytes.subarray(0, cut));
        assert.ok(
          parsed.kind === "more" && parsed.atLeast > cut && parsed.atLeast <= bytes.length,
          `cut at ${cut}`,
        );
      }
    }
  });

  it("give IPv4-mapped addresses as IPv4", () => {
    const parsed = parseProxyHeader(new TextEncoder().encode("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n"));
    assert.ok(parsed.kind === "ok");
    assert.equal(parsed.value.source?.address, "192.0.2.1");
  });

  it("with a wrong checksum are refused", () => {
    const header = encodeProxyV2({ ...facts, alpn: null, authority: null, tls: null });
    const bytes = Uint8Array.from([...header, 3, 0, 4, 1, 2, 3, 4]);
    bytes[15] = (bytes[15] ?? 0) + 7;
    const parsed = parseProxyHeader(bytes);
    assert.ok(parsed.kind === "no" && parsed.detail.includes("checksum"));
  });
});

/** Where others take what we refuse, or the reverse, and why. */
const otherwise: Record<string, string> = {
  "go-proxyproto:v2-valid proxy TCPv4 with TLV": "the TLVs are random bytes; HAProxy closes too",
  "go-proxyproto:v2-valid proxy TCPv4 with medium TLV": "the TLVs are zeroes cut short; HAProxy closes too",
  "ppp:v2 with_tlvs_without_ports": "what it calls a checksum has two bytes; HAProxy closes too",
  "ppp:v2 partial_tlv": "a TLV that runs past the header; HAProxy closes too",
  "nginx-tests:unk2 family 0x41": "an address family that does not exist; HAProxy closes too",
  "nginx-tests:v2 tlvs": "a wrong checksum, which nginx does not look at; HAProxy closes too",
};

describe("PROXY headers of other projects' suites", { skip }, () => {
  it("are read or refused as there", () => {
    for (const vector of data?.vectors ?? []) {
      const parsed = parseProxyHeader(fromHex(vector.input_hex));
      if (vector.id in otherwise) {
        assert.equal(parsed.kind, "no", vector.id);
        continue;
      }
      if (vector.result === "ok") {
        assert.ok(parsed.kind === "ok", `${vector.id}: ${JSON.stringify(parsed)}`);
        assert.equal(parsed.used, vector.expect?.header_length, vector.id);
      } else if (vector.input_truncated) assert.notEqual(parsed.kind, "ok", vector.id);
      else assert.equal(parsed.kind, "no", `${vector.id}: ${vector.upstream_error}`);
    }
  });
});
