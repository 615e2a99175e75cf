import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readCertificationRequest } from "../../src/enrolment/certification-request.ts";
import { refuseOtherNames } from "../../src/enrolment/named-identity.ts";
import { EnrolmentRefusal } from "../../src/enrolment/refusal.ts";
import { algorithms } from "../support/pki.ts";
import { certificationRequest, newKeys } from "../support/requests.ts";

const refused = (reason: string, words: RegExp) => (error: unknown) =>
  error instanceof EnrolmentRefusal && error.reason === reason && words.test(error.message);

const body = (pem: string): Buffer => Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ""), "base64");
const pem = (der: Uint8Array): string =>
  `-----BEGIN CERTIFICATE REQUEST-----\n${Buffer.from(der).toString("base64")}\n-----END CERTIFICATE REQUEST-----\n`;

/** SEQUENCEs in SEQUENCEs. */
function nested(depth: number): Buffer {
  const headers: Buffer[] = [];
  for (let i = 0, length = 0; i < depth; i++) {
    const header = Buffer.from([0x30, 0x82, length >> 8, length & 0xff]);
    headers.unshift(
      length < 0x80
        ? Buffer.from([0x30, length])
        : length < 0x100
          ? Buffer.from([0x30, 0x81, length])
          : header,
    );
    length += headers[0]?.length ?? 0;
  }
  return Buffer.concat(headers);
}

describe("a certification request", () => {
  const p384 = { name: "ECDSA", namedCurve: "P-384", hash: "SHA-384" } as const;
  for (const [kind, algorithm] of Object.entries({
    "P-256": algorithms.ecdsa,
    "P-384": p384,
    Ed25519: { name: "Ed25519" },
    "RSA of 2048 bits": algorithms.rsa2048,
  })) {
    it(`may be for a key of ${kind}`, async () => {
      const keys = await newKeys(algorithm);
      const { publicKey } = await readCertificationRequest(await certificationRequest({ keys, algorithm }));
      const spki = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
      assert.deepEqual(publicKey, spki);
    });
  }

  it("may not be for a weak key", async () => {
    const weak = await certificationRequest({ algorithm: algorithms.rsa1024 });
    await assert.rejects(readCertificationRequest(weak), refused("key_unfit", /1024 bits/));
  });

  it("must be signed by its own key", async () => {
    const [mine, theirs] = [await newKeys(), await newKeys()];
    const stolen = await certificationRequest({ keys: theirs, signer: mine });
    await assert.rejects(readCertificationRequest(stolen), refused("request_invalid", /proof of possession/));
    const der = body(await certificationRequest());
    der.writeUInt8(der.readUInt8(der.length - 1) ^ 1, der.length - 1);
    await assert.rejects(
      readCertificationRequest(pem(der)),
      refused("request_invalid", /possession|signature/),
    );
  });

  it("must not be signed with SHA-1", async () => {
    const old = await certificationRequest({ algorithm: algorithms.sha1 });
    await assert.rejects(readCertificationRequest(old), refused("request_invalid", /SHA-256/));
  });

  it("must be one, and nothing beside it", async () => {
    const good = await certificationRequest();
    const der = body(good);
    for (const bad of [
      "",
      "x",
      good + good,
      `${good}x`,
      good.replaceAll("CERTIFICATE REQUEST", "CERTIFICATE"),
      pem(new Uint8Array(0)),
      pem(der.subarray(0, der.length - 1)),
      pem(Buffer.alloc(30_000, 0x30)),
      pem(Buffer.alloc(12_000, Uint8Array.of(0x30, 0x80))),
      pem(nested(3000)),
    ])
      await assert.rejects(
        readCertificationRequest(bad),
        refused("request_invalid", /^csr: /),
        bad.slice(0, 80),
      );
    // RFC 7468 §7: the other label that is about.
    await readCertificationRequest(good.replaceAll("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"));
  });

  it("reads no bytes that were changed as anything but a refusal", async () => {
    const der = body(await certificationRequest({ subject: "CN=alice" }));
    for (let at = 0; at < der.length; at += 3) {
      const changed = Buffer.from(der);
      changed.writeUInt8(changed.readUInt8(at) ^ 0x41, at);
      await assert.rejects(readCertificationRequest(pem(changed)), EnrolmentRefusal, `byte ${at}`);
    }
  });

  it("may not ask for an authority", async () => {
    const asked = await certificationRequest({ authority: true });
    await assert.rejects(readCertificationRequest(asked), refused("identity_mismatch", /authority/));
  });
});

describe("the names in a request", () => {
  const alice = {
    commonName: "alice",
    organization: "Example",
    groups: ["payments", "ops"],
    emails: ["alice@example.com"],
    dnsNames: ["alice.example.com"],
    uris: ["spiffe://example.com/alice"],
  };
  const judge = async (recipe: Parameters<typeof certificationRequest>[0]): Promise<void> =>
    refuseOtherNames(await readCertificationRequest(await certificationRequest(recipe)), alice);

  it("may be none, or one's own", async () => {
    await judge({});
    await judge({ subject: "CN=alice" });
    await judge({
      subject: "O=Example, OU=payments, CN=alice",
      names: [
        { type: "email", value: "alice@example.com" },
        { type: "dns", value: "alice.example.com" },
        { type: "url", value: "spiffe://example.com/alice" },
      ],
    });
  });

  it("may not be another's", async () => {
    for (const subject of [
      "CN=bob",
      "CN=Alice",
      "CN=alice, CN=bob",
      "CN=alice, OU=admins",
      "O=Other",
      "C=DE",
    ])
      await assert.rejects(judge({ subject }), refused("identity_mismatch", /^csr: names /), subject);
    for (const name of [
      { type: "email", value: "bob@example.com" },
      { type: "dns", value: "example.com" },
      { type: "url", value: "spiffe://example.com/bob" },
      { type: "ip", value: "10.0.0.1" },
      { type: "url", value: "alice.example.com" },
    ] as const)
      await assert.rejects(
        judge({ names: [name] }),
        refused("identity_mismatch", /alternative name/),
        name.value,
      );
  });
});
