import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Authority, createAuthority } from "../../src/authority/authority.ts";
import { keyKinds } from "../../src/authority/keys.ts";
import { certificatesFromPem } from "../../src/authority/pem.ts";
import { type Certificate, parseCertificate } from "../../src/identity/certificate.ts";
import { validatePath } from "../../src/identity/chain.ts";
import { grantsOid } from "../../src/identity/grants.ts";
import { oids } from "../../src/identity/oids.ts";

const hourMs = 3_600_000;

function parsed(pem: string): Certificate[] {
  return certificatesFromPem(pem).map((der) => {
    const certificate = parseCertificate(der);
    if ("malformed" in certificate) throw new Error(certificate.malformed);
    return certificate;
  });
}

/** What linters of certificates look at, for all of them. */
function lint(certificate: Certificate, issuer: Certificate): void {
  const { extensions, serial, keyUsage, authorityKeyId, subjectKeyId } = certificate;
  assert.equal(certificate.version, 3);
  assert.equal(serial.length, 32, "a serial number of 16 octets, nearly all of them random");
  assert.ok(certificate.notBefore < Date.now() && certificate.notBefore < certificate.notAfter);
  assert.ok(certificate.notAfter <= issuer.notAfter, "not past its issuer");
  assert.ok(subjectKeyId !== null && subjectKeyId.length === 20);
  if (certificate !== issuer) assert.deepEqual(authorityKeyId?.keyId, issuer.subjectKeyId);
  for (const oid of [oids.basicConstraints, oids.keyUsage])
    assert.equal(extensions.get(oid)?.critical, true, oid);
  for (const oid of [
    oids.subjectKeyIdentifier,
    oids.authorityKeyIdentifier,
    oids.extendedKeyUsage,
    grantsOid,
  ])
    assert.notEqual(extensions.get(oid)?.critical, true, oid);
  for (const { value } of certificate.subjectName.flat()) assert.notEqual(value, "");
  const isAuthority = certificate.basicConstraints?.ca === true;
  assert.deepEqual(keyUsage, new Set(isAuthority ? [5, 6] : [0]));
  assert.equal(certificate.extendedKeyUsage === null, isAuthority);
  for (const value of extensions.values()) assert.ok(value.value.length > 0);
}

describe("certificates of the authority", () => {
  for (const algorithm of keyKinds) {
    it(`are as linters want them, with ${algorithm}`, async () => {
      const rootFiles = await createAuthority("Root", { algorithm, authoritiesBelow: 1 });
      const rootAuthority = await Authority.open(rootFiles);
      const permitted = { dns: ["example.com"], email: ["example.com"], uri: ["example.com"] };
      const issuingFiles = await rootAuthority.authority("Issuing", { algorithm, permitted });
      const authority = await Authority.open(issuingFiles, { above: rootAuthority.chain });
      const server = await authority.server(
        ["a.example.com", "*.example.com"],
        hourMs,
        Date.now(),
        algorithm,
      );
      const person = {
        commonName: "alice",
        groups: ["ops"],
        emails: ["alice@example.com"],
        dnsNames: ["alice.example.com"],
        uris: ["spiffe://example.com/alice"],
      };
      const client = await authority.client(person, hourMs, Date.now(), {
        algorithm,
        limits: { sources: ["10.0.0.0/8"], routes: ["orders"] },
      });
      const [root] = parsed(rootFiles.cert);
      const [issuing] = parsed(issuingFiles.cert);
      assert.ok(root !== undefined && issuing !== undefined);
      lint(root, root);
      lint(issuing, root);
      assert.equal(issuing.extensions.get(oids.nameConstraints)?.critical, true);
      // The strictest profile for servers; a person's name is none of theirs.
      for (const [pem, purpose, profile] of [
        [server.cert, "server", "webpki"],
        [client.cert, "client", "rfc5280"],
      ] as const) {
        const [leaf, ...intermediates] = parsed(pem);
        assert.ok(leaf !== undefined);
        lint(leaf, issuing);
        const question = { leaf, intermediates, anchors: [root], purpose, profile, now: Date.now() };
        const result = await validatePath(question);
        assert.ok(result.ok, result.ok ? "" : result.failure.detail);
      }
    });
  }

  it("have serial numbers of their own", async () => {
    const authority = await Authority.open(await createAuthority("Root"));
    const serials = new Set<string>();
    for (let i = 0; i < 50; i++) {
      const { cert } = await authority.client({ commonName: "x" }, hourMs);
      for (const { serial } of parsed(cert)) serials.add(serial);
    }
    assert.equal(serials.size, 50);
  });
});
