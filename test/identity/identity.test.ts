import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseCertificate } from "../../src/identity/certificate.ts";
import { type Identity, identityOf } from "../../src/identity/identity.ts";
import {
  type AltNames,
  attribute,
  leaf,
  leafExtensions,
  name,
  root,
  subjectAltName,
} from "../support/crafted-certificates.ts";
import { seq, set, tlv } from "../support/der.ts";

const anchor = root();

function identify(der: Uint8Array): Promise<Identity> {
  const certificate = parseCertificate(der);
  if ("malformed" in certificate) throw new Error(certificate.malformed);
  return identityOf(certificate);
}

const withNames = (names: AltNames): Promise<Identity> =>
  identify(leaf(anchor, { extensions: [...leafExtensions, subjectAltName(names)] }).der);
const withSubject = (subject: Uint8Array): Promise<Identity> => identify(leaf(anchor, { subject }).der);

describe("an identity", () => {
  it("has all that the certificate says of its holder", async () => {
    const subject = name(["O", "Example"], ["OU", "payments"], ["OU", "on-call"], ["CN", "alice"]);
    const names = {
      dns: ["a.example.com"],
      email: ["alice@example.com"],
      uri: ["https://example.com/alice"],
    };
    const notAfter = Date.UTC(2030, 0, 1);
    const identity = await identify(
      leaf(anchor, { subject, notAfter, extensions: [...leafExtensions, subjectAltName(names)] }).der,
    );
    assert.equal(identity.subject, "CN=alice,OU=on-call,OU=payments,O=Example");
    assert.equal(identity.commonName, "alice");
    assert.deepEqual(identity.organizations, ["Example"]);
    assert.deepEqual(identity.organizationalUnits, ["payments", "on-call"]);
    assert.deepEqual(identity.groups, ["payments", "on-call"]);
    assert.deepEqual(identity.dnsNames, ["a.example.com"]);
    assert.deepEqual(identity.emails, ["alice@example.com"]);
    assert.deepEqual(identity.uris, ["https://example.com/alice"]);
    assert.equal(identity.spiffe, null);
    assert.equal(identity.expires, "2030-01-01T00:00:00.000Z");
  });

  it("has the most specific of several common names", async () => {
    assert.equal((await withSubject(name(["CN", "people"], ["CN", "alice"]))).commonName, "alice");
  });

  it("has no common name where there is none", async () => {
    assert.equal((await withSubject(name(["O", "Example"]))).commonName, null);
  });
});

describe("a subject in text", () => {
  it("can't be forged by what stands in a value", async () => {
    const { subject } = await withSubject(name(["CN", "alice,OU=admins+CN=x"]));
    assert.equal(subject, "CN=alice\\,OU=admins\\+CN=x");
  });

  it("shows what does not show, and what turns the line around", async () => {
    const { subject } = await withSubject(name(["CN", "a\nb\u0085\u202e\0"]));
    assert.equal(subject, "CN=a\\0ab\\c2\\85\\e2\\80\\ae\\00");
  });

  it("keeps spaces at either end, and one alone", async () => {
    assert.equal((await withSubject(name(["CN", " a "]))).subject, "CN=\\ a\\ ");
    assert.equal((await withSubject(name(["CN", " "]))).subject, "CN=\\ ");
    assert.equal((await withSubject(name(["CN", "#1"]))).subject, "CN=\\#1");
  });

  it("joins the parts of one RDN, and has types without a name in hexadecimal", async () => {
    const joined = seq(set(attribute("O", "Example"), attribute("CN", "alice")));
    assert.equal((await withSubject(joined)).subject, "O=Example+CN=alice");
    assert.equal((await withSubject(name(["1.2.3.4", "hi"]))).subject, "1.2.3.4=#0c026869");
    assert.equal((await withSubject(name(["CN", tlv(0x03, [0, 1])]))).subject, "CN=#03020001");
  });

  it("reads the old string types", async () => {
    const old = name(["O", tlv(0x13, Buffer.from("Printable"))], ["CN", tlv(0x1e, [0, 0x61, 0x20, 0xac])]);
    assert.equal((await withSubject(old)).subject, "CN=a€,O=Printable");
  });
});

describe("a SPIFFE ID", () => {
  const good = ["spiffe://example.com/team/a", "spiffe://a-b_c.9/x.y/Z_-"];
  const bad = [
    "spiffe://",
    "spiffe:///team",
    // A trust domain alone, which is an authority's.
    "spiffe://example.com",
    "spiffe://Example.com/team",
    "spiffe://example.com/",
    "spiffe://example.com//a",
    "spiffe://example.com/a/",
    "spiffe://example.com/a/../b",
    "spiffe://example.com/./b",
    "spiffe://example.com:8443/a",
    "spiffe://user@example.com/a",
    "spiffe://example.com/a?b",
    "spiffe://example.com/a#b",
    "spiffe://example.com/%61",
    "SPIFFE://example.com/a",
    "https://example.com/a",
    `spiffe://${"a".repeat(256)}/b`,
    `spiffe://example.com/${"a".repeat(2048)}`,
  ];

  it("is the one URI of a certificate", async () => {
    for (const uri of good) assert.equal((await withNames({ uri: [uri] })).spiffe, uri);
  });

  it("is nothing where it is malformed", async () => {
    for (const uri of bad) assert.equal((await withNames({ uri: [uri] })).spiffe, null, uri);
  });

  it("is nothing where there are two URIs", async () => {
    const uri = ["spiffe://example.com/a", "spiffe://example.com/b"];
    assert.equal((await withNames({ uri })).spiffe, null);
    assert.equal((await withNames({ uri: ["spiffe://example.com/a", "https://example.com"] })).spiffe, null);
  });
});
