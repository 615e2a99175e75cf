import assert from "node:assert/strict";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { describe, it } from "node:test";
import { Authority, createAuthority } from "../../src/authority/authority.ts";
import { certificatesFromPem } from "../../src/authority/pem.ts";
import type { Person } from "../../src/authority/subject.ts";
import { SubjectError } from "../../src/authority/subject.ts";
import { type Certificate, parseCertificate } from "../../src/identity/certificate.ts";
import { validatePath } from "../../src/identity/chain.ts";
import { createClientVerifier, type VerifiedClient } from "../../src/identity/verifier.ts";
import { opensslAccepts, skipWithoutOpenssl } from "../support/openssl.ts";

const hourMs = 3_600_000;
const files = await createAuthority("Example Authority");
const authority = await Authority.open(files);

const der = (pem: string): Uint8Array => certificatesFromPem(pem)[0] ?? new Uint8Array(0);
function parsed(pem: string): Certificate {
  const certificate = parseCertificate(der(pem));
  if ("malformed" in certificate) throw new Error(certificate.malformed);
  return certificate;
}

const verified = (cert: string, now = Date.now()): Promise<VerifiedClient> =>
  createClientVerifier([der(files.cert)]).verify({ leaf: der(cert), chain: () => [der(cert)] }, now);

const issue = (more: Partial<Person> = {}) => authority.client({ commonName: "alice", ...more }, 8 * hourMs);

describe("a new authority", () => {
  it("is a root that may issue, and no further authorities", () => {
    const root = parsed(files.cert);
    assert.deepEqual(root.basicConstraints, { ca: true, pathLength: 0 });
    assert.deepEqual(root.keyUsage, new Set([5, 6]));
    assert.deepEqual(Buffer.from(root.subject), Buffer.from(root.issuer));
    assert.equal(root.extensions.get("2.5.29.19")?.critical, true);
    assert.equal(root.extensions.get("2.5.29.15")?.critical, true);
    assert.ok(root.extensions.has("2.5.29.14"));
    assert.ok(root.notAfter - Date.now() > 3600 * 24 * hourMs);
  });

  it("has the name it was given, whatever stands in it", async () => {
    for (const name of ["#0c01", "a, CN=b", "back\\slash", 'quo"te', "Zürich ☃", "a+b=c"]) {
      const { subjectName } = parsed((await createAuthority(name)).cert);
      assert.deepEqual(
        subjectName.flat().map(({ value }) => value),
        [name],
      );
    }
  });

  it("has a key that is its certificate's", () => {
    assert.ok(new X509Certificate(files.cert).checkPrivateKey(createPrivateKey(files.key)));
  });

  it("refuses a name that is none", async () => {
    for (const name of ["", " a", "a\nb", "a\0", "a".repeat(65)]) {
      await assert.rejects(createAuthority(name), SubjectError, JSON.stringify(name));
    }
  });
});

describe("an authority's files", () => {
  it("that don't belong together are refused", async () => {
    const other = await createAuthority("Other");
    await assert.rejects(Authority.open({ cert: files.cert, key: other.key }), /not the certificate's/);
  });

  it("that are no authority's are refused", async () => {
    await assert.rejects(Authority.open(await issue()), /no authority's/);
  });

  it("that can't be read are refused without a word of the key", async () => {
    const body = files.key.split("\n")[1] ?? "";
    for (const key of [
      "",
      "junk",
      files.cert,
      files.key.replace(body, body.slice(8)),
      files.key.replaceAll("PRIVATE", "EC PRIVATE"),
    ]) {
      await assert.rejects(Authority.open({ cert: files.cert, key }), (error: Error) => {
        assert.match(error.message, /the private key can't be read/);
        assert.ok(!error.message.includes(body.slice(8, 20)));
        return true;
      });
    }
    await assert.rejects(Authority.open({ cert: "junk", key: files.key }), /the certificate can't be read/);
  });
});

describe("a client certificate", () => {
  it("is verified, and says who it is", async () => {
    const person: Person = {
      commonName: "alice",
      organization: "Example, Inc.",
      groups: ["payments", "on call"],
      emails: ["alice@example.com"],
      dnsNames: ["alice.example.com"],
      uris: ["spiffe://example.com/alice"],
    };
    const { identity } = await verified((await authority.client(person, 8 * hourMs)).cert);
    assert.equal(identity.subject, "CN=alice,OU=on call,OU=payments,O=Example\\, Inc.");
    assert.deepEqual(identity.groups, ["payments", "on call"]);
    assert.deepEqual(identity.emails, ["alice@example.com"]);
    assert.deepEqual(identity.dnsNames, ["alice.example.com"]);
    assert.equal(identity.spiffe, "spiffe://example.com/alice");
  });

  it("has its own key and a random serial number", async () => {
    const [one, two] = [await issue(), await issue()];
    assert.notEqual(one.key, two.key);
    assert.ok(new X509Certificate(one.cert).checkPrivateKey(createPrivateKey(one.key)));
    const serials = [one, two].map(({ cert }) => parsed(cert).serial);
    assert.notEqual(serials[0], serials[1]);
    for (const serial of serials) assert.match(serial, /^[4-7][0-9a-f]{31}$/);
  });

  it("is for signing and for clients, and no authority's", async () => {
    const certificate = parsed((await issue()).cert);
    assert.deepEqual(certificate.keyUsage, new Set([0]));
    assert.deepEqual(certificate.extendedKeyUsage, ["1.3.6.1.5.5.7.3.2"]);
    assert.equal(certificate.basicConstraints?.ca, false);
    assert.ok(certificate.extensions.has("2.5.29.35"));
  });

  it("lives as long as asked, but not longer than its authority", async () => {
    const now = Date.now();
    const brief = parsed((await authority.client({ commonName: "a" }, hourMs, now)).cert);
    assert.equal(brief.notAfter, Math.floor((now + hourMs) / 1000) * 1000);
    await assert.rejects(verified((await issue()).cert, now + 9 * hourMs), /expired at/);
    const long = parsed((await authority.client({ commonName: "a" }, 1e13, now)).cert);
    assert.equal(long.notAfter, parsed(files.cert).notAfter);
  });

  it("is not issued by an authority that expired", async () => {
    const afterwards = parsed(files.cert).notAfter + 1000;
    await assert.rejects(authority.client({ commonName: "a" }, hourMs, afterwards), /the authority expired/);
  });

  it("has the values it was given, whatever stands in them", async () => {
    for (const value of ["#0c01", "a, CN=b", "back\\slash", 'quo"te', "Zürich ☃", "a+b=c"]) {
      const { identity } = await verified((await issue({ commonName: value, groups: [value] })).cert);
      assert.equal(identity.commonName, value);
      assert.deepEqual(identity.groups, [value]);
    }
  });

  it("is refused for what can't stand in one, with the member at fault", async () => {
    const bad: readonly (readonly [Partial<Person>, SubjectError["member"]])[] = [
      [{ commonName: "" }, "commonName"],
      [{ commonName: "a\u2028b" }, "commonName"],
      [{ organization: "x".repeat(65) }, "organization"],
      [{ groups: ["good", " bad"] }, "groups"],
      [{ emails: ["alice"] }, "emails"],
      [{ emails: ["alice@bücher.example"] }, "emails"],
      [{ emails: ["a@b@example.com"] }, "emails"],
      [{ dnsNames: ["*.example.com"] }, "dnsNames"],
      [{ dnsNames: ["10.0.0.1"] }, "dnsNames"],
      [{ dnsNames: ["a b"] }, "dnsNames"],
      [{ uris: ["no uri"] }, "uris"],
      [{ uris: ["spiffe://Example.com/a"] }, "uris"],
      [{ uris: ["spiffe://example.com/a", "https://example.com"] }, "uris"],
    ];
    for (const [more, member] of bad) {
      await assert.rejects(issue(more), (error) => error instanceof SubjectError && error.member === member);
    }
  });
});

describe("a server certificate", () => {
  const names = ["a.example.com", "*.b.example.com", "10.0.0.1", "::1"];

  it("has every name and address", async () => {
    const issued = await authority.server(names, 24 * hourMs);
    assert.deepEqual(parsed(issued.cert).names, {
      dns: ["a.example.com", "*.b.example.com"],
      email: [],
      uri: [],
      ip: ["10.0.0.1", "::1"],
    });
    assert.match(new X509Certificate(issued.cert).subjectAltName ?? "", /DNS:\*\.b\.example\.com/);
  });

  it("is a server's, and no client's", async () => {
    const { cert } = await authority.server(names, 24 * hourMs);
    const question = {
      leaf: parsed(cert),
      intermediates: [],
      anchors: [parsed(files.cert)],
      now: Date.now(),
    };
    assert.ok((await validatePath({ ...question, purpose: "server" })).ok);
    await assert.rejects(verified(cert), /lacks clientAuth/);
  });

  it("has a name too long for a subject among its alternative names alone", async () => {
    const long = `${"a".repeat(60)}.example.com`;
    const certificate = parsed((await authority.server([long], hourMs)).cert);
    assert.deepEqual(certificate.subjectName, []);
    assert.deepEqual(certificate.names.dns, [long]);
    assert.equal(certificate.extensions.get("2.5.29.17")?.critical, true);
  });

  it("is refused for what is neither a name nor an address", async () => {
    for (const name of [
      "https://a.example.com",
      "a b",
      "*",
      "*.*.example.com",
      "a.*.example.com",
      "bücher.example",
      "1.2.3",
      "",
    ]) {
      await assert.rejects(authority.server([name], hourMs), SubjectError, name);
    }
  });
});

describe("openssl", { skip: skipWithoutOpenssl }, () => {
  it("verifies what an authority issues by its strictest rules", async () => {
    const client = await issue({ groups: ["a"], uris: ["spiffe://example.com/a"] });
    assert.ok(opensslAccepts({ purpose: "sslclient", anchor: files.cert, leaf: client.cert }));
    const server = await authority.server(["a.example.com", "::1"], hourMs);
    assert.ok(opensslAccepts({ purpose: "sslserver", anchor: files.cert, leaf: server.cert }));
    assert.ok(!opensslAccepts({ purpose: "sslserver", anchor: files.cert, leaf: client.cert }));
  });
});
