import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type Certificate, parseCertificate } from "../../src/identity/certificate.ts";
import {
  basicConstraints,
  certify,
  extendedKeyUsage,
  extension,
  keyUsage,
  leaf,
  leafExtensions,
  name,
  root,
  subjectAltName,
} from "../support/crafted-certificates.ts";
import { bits, bytes, integer, oid, seq, tlv } from "../support/der.ts";
import { share } from "../support/fuzz.ts";

const anchor = root();

function parsed(der: Uint8Array): Certificate {
  const certificate = parseCertificate(der);
  if ("malformed" in certificate) throw new Error(certificate.malformed);
  return certificate;
}

function malformed(der: Uint8Array, what: RegExp): void {
  const certificate = parseCertificate(der);
  assert.ok("malformed" in certificate, "it was parsed");
  assert.match(certificate.malformed, what);
  assert.match(certificate.malformed, /(RFC \d+|X\.690) §|longer than|2\.25\./);
}

const withExtensions = (...extensions: readonly Uint8Array[]): Uint8Array => leaf(anchor, { extensions }).der;

describe("a parsed certificate", () => {
  it("has every field", () => {
    const notBefore = Date.UTC(2026, 0, 2, 3, 4, 5);
    const notAfter = Date.UTC(2051, 0, 2, 3, 4, 5);
    const names = subjectAltName({
      dns: ["a.example.com", "*.b.example.com"],
      email: ["alice@example.com"],
      uri: ["spiffe://example.com/alice"],
      ip: [Uint8Array.of(10, 0, 0, 1), Uint8Array.of(...new Array<number>(15).fill(0), 1)],
    });
    const made = leaf(anchor, {
      notBefore,
      notAfter,
      serial: "00ff01",
      extensions: [...leafExtensions, names],
    });
    const certificate = parsed(made.der);
    assert.equal(certificate.version, 3);
    assert.equal(certificate.serial, "ff01");
    assert.equal(certificate.notBefore, notBefore);
    assert.equal(certificate.notAfter, notAfter);
    assert.deepEqual(Buffer.from(certificate.spki), Buffer.from(made.keys.spki));
    assert.deepEqual(Buffer.from(certificate.subject), Buffer.from(made.name));
    assert.deepEqual(Buffer.from(certificate.issuer), Buffer.from(anchor.name));
    assert.deepEqual(certificate.basicConstraints, { ca: false, pathLength: null });
    assert.deepEqual(certificate.keyUsage, new Set([0]));
    assert.deepEqual(certificate.extendedKeyUsage, ["1.3.6.1.5.5.7.3.2"]);
    assert.deepEqual(certificate.names, {
      dns: ["a.example.com", "*.b.example.com"],
      email: ["alice@example.com"],
      uri: ["spiffe://example.com/alice"],
      ip: ["10.0.0.1", "::1"],
    });
  });

  it("without extensions says nothing of itself", () => {
    const { version, basicConstraints: constraints, names } = parsed(leaf(anchor, { version: 1 }).der);
    assert.equal(version, 1);
    assert.equal(constraints, null);
    assert.deepEqual(names, { dns: [], email: [], uri: [], ip: [] });
  });
});

describe("what is refused as no certificate", () => {
  const good = leaf(anchor).der;

  it("is anything cut short or with something after it", () => {
    for (let end = 0; end < good.length; end++) malformed(good.subarray(0, end), /./);
    malformed(bytes(good, [0]), /DER sequence/);
  });

  it("is a signature that does not fill its last octet", () => {
    const { tbs, algorithm, signature } = parsed(good);
    assert.deepEqual(Buffer.from(seq(tbs, algorithm, bits(signature))), Buffer.from(good));
    malformed(seq(tbs, algorithm, bits(signature, 1)), /the signature/);
  });

  it("is the same extension twice", () => {
    malformed(withExtensions(...leafExtensions, keyUsage("digitalSignature")), /2\.5\.29\.15 twice/);
  });

  it("is an extension with a critical flag that DER would have left out", () => {
    const flagged = seq(oid("2.5.29.19"), tlv(0x01, [0]), tlv(0x04, seq()));
    malformed(withExtensions(flagged), /2\.5\.29\.19: its critical flag/);
  });

  it("is a key usage without a usage, or with bits past its end", () => {
    for (const value of [bits(new Uint8Array(0)), bits(Uint8Array.of(0)), bits(Uint8Array.of(0x81), 7)]) {
      malformed(withExtensions(extension("2.5.29.15", value, true)), /keyUsage/);
    }
  });

  it("is a basicConstraints with something after it", () => {
    const value = seq(tlv(0x01, [0xff]), integer("00"), integer("00"));
    malformed(withExtensions(extension("2.5.29.19", value, true)), /basicConstraints/);
    malformed(withExtensions(extension("2.5.29.19", bytes(seq(), [0]), true)), /basicConstraints/);
  });

  it("is a basicConstraints with a FALSE that DER would have left out", () => {
    malformed(withExtensions(extension("2.5.29.19", seq(tlv(0x01, [0])), true)), /basicConstraints/);
  });

  it("is a name in half a character", () => {
    for (const value of [tlv(0x1e, [0x41]), tlv(0x1c, [0, 0, 0x41]), tlv(0x1c, [0, 0x11, 0, 0])])
      malformed(leaf(anchor, { subject: name(["CN", value]) }).der, /the subject/);
  });

  it("is a negative path length", () => {
    malformed(
      withExtensions(extension("2.5.29.19", seq(tlv(0x01, [0xff]), integer("ff")), true)),
      /path length/,
    );
  });

  it("is an alternative name with a NUL, a line break or octets beyond ASCII", () => {
    for (const text of ["alice.example.com\0.evil.example", "a\nb", "b\u00fccher.example", "a\x7f"]) {
      malformed(
        withExtensions(...leafExtensions, subjectAltName({ dns: [text] })),
        /a name in subjectAltName/,
      );
    }
  });

  it("is an alternative name far too long to be one", () => {
    const uri = `spiffe://example.com/${"a".repeat(5000)}`;
    malformed(withExtensions(...leafExtensions, subjectAltName({ uri: [uri] })), /a name in subjectAltName/);
  });

  it("is an address of neither four octets nor sixteen", () => {
    malformed(withExtensions(subjectAltName({ ip: [Uint8Array.of(10, 0, 0)] })), /address in subjectAltName/);
  });

  it("is a serial number padded or empty", () => {
    for (const serial of ["", "0001", "ffff"]) malformed(leaf(anchor, { serial }).der, /serial number/);
  });

  it("is a subject that is no name, or with text that is no UTF-8", () => {
    malformed(leaf(anchor, { subject: seq(seq()) }).der, /subject/);
    malformed(leaf(anchor, { subject: name(["CN", tlv(0x0c, [0xc3, 0x28])]) }).der, /subject/);
    malformed(leaf(anchor, { subject: name(["CN", tlv(0x1e, [0, 65, 0])]) }).der, /subject/);
    malformed(leaf(anchor, { subject: name(["CN", "a".repeat(5000)]) }).der, /subject/);
  });

  it("is never thrown about: random octets and mutated certificates give an answer", () => {
    const full = certify(anchor, {
      extensions: [
        basicConstraints(true, 3),
        keyUsage("digitalSignature", "keyCertSign"),
        extendedKeyUsage("clientAuth", "any"),
        subjectAltName({
          dns: ["a.example"],
          email: ["a@b.c"],
          uri: ["x:y"],
          ip: [Uint8Array.of(1, 2, 3, 4)],
        }),
      ],
    }).der;
    const mutation = fc.array(fc.tuple(fc.nat(full.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(mutation, (changes) => {
        const mutated = Uint8Array.from(full);
        for (const [at, value] of changes) mutated[at] = value;
        const answer = parseCertificate(mutated);
        return "malformed" in answer || answer.raw.length === mutated.length;
      }),
      { numRuns: share(3000) },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (random) => "malformed" in parseCertificate(random)),
      { numRuns: share(1000) },
    );
  });
});
