import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { certificatesFromPem } from "../../src/authority/pem.ts";
import type { Person } from "../../src/authority/subject.ts";
import { parseCertificate } from "../../src/identity/certificate.ts";
import { identityOf } from "../../src/identity/identity.ts";
import { claimsOf, readClaims } from "../../src/sign-in/signed-in.ts";
import { authority, hourMs } from "../support/environment.ts";

const until = Date.UTC(2026, 10, 28);

describe("somebody who signed in", () => {
  const people: readonly Person[] = [
    { commonName: "alice@example.com" },
    {
      commonName: 'Zoë, the "first"',
      organization: "Example + Söhne",
      groups: ["payments", "ops", "a=b"],
      emails: ["zoe@example.com"],
      uris: ["spiffe://example.com/user/zoe"],
    },
    { commonName: "bob", groups: ["#1"], uris: ["https://example.com/bob"] },
  ];
  for (const person of people)
    it(`is who a certificate would say: ${person.commonName}`, async () => {
      const issued = await authority.client(person, hourMs);
      const [der = new Uint8Array()] = certificatesFromPem(issued.cert);
      const parsed = parseCertificate(der);
      assert.ok(!("malformed" in parsed));
      const {
        serial: _,
        fingerprint: __,
        keyFingerprint: ___,
        expires: ____,
        ...theirs
      } = await identityOf(parsed);
      const kept = JSON.parse(JSON.stringify({ ...claimsOf("1", "staff:1", person), exp: until / 1000 }));
      const who = await readClaims(kept);
      assert.ok(who !== null);
      const { serial, fingerprint, expires, ...ours } = who.identity;
      assert.deepEqual(ours, theirs);
      assert.deepEqual([serial, fingerprint, expires], [null, null, new Date(until).toISOString()]);
    });

  it("is nobody by what another version wrote", async () => {
    for (const payload of [{}, { jti: "1", voucher: "a:b", exp: 1, cn: 1, groups: [], emails: [], uris: [] }])
      assert.equal(await readClaims(payload as never), null);
  });
});
