import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { EncryptJWT, exportPKCS8, generateKeyPair, SignJWT, UnsecuredJWT } from "jose";
import { type AssertionKeys, GeneratedKeys, givenKeys } from "../../src/identity/assertion-key.ts";
import { Seals } from "../../src/sign-in/seals.ts";

const now = Date.UTC(2026, 10, 28);
const soon = now + 60_000;
const sealsOf = (keys: Pick<AssertionKeys, "secrets">): Seals =>
  new Seals((purpose, at) => keys.secrets(purpose, at));
const pem = async (alg = "ES256"): Promise<string> =>
  exportPKCS8((await generateKeyPair(alg, { extractable: true })).privateKey);

/** Of no use anywhere else. */
const known = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgmiNTXI8q6Z8A3hNo
KyGHzoXcpAfrUvef0OfSWa/DEWehRANCAATnEEs0qVol3+bl8gqIvitCsegKIc5o
o2HqC0DsvhM7ELnJ3IIp/Lz5d32m4DN6BIit3YN4oq6P35BBo0cMEEFD
-----END PRIVATE KEY-----
`;

describe("what browsers keep for the router", () => {
  it("opens where it was made for, in time, and for its purpose", async () => {
    const seals = sealsOf(await givenKeys(await pem()));
    const text = await seals.seal("session", "app", { cn: "alice" }, now, soon);
    assert.doesNotMatch(Buffer.from(text.replaceAll(".", "")).toString("latin1"), /alice/);
    assert.equal((await seals.open("session", "app", text, now))?.cn, "alice");
    assert.equal(await seals.open("session", "other", text, now), null);
    assert.equal(await seals.open("pending", "app", text, now), null);
    assert.equal(await seals.open("session", "app", text, soon), null);
    assert.ok((await seals.open("session", "app", text, soon - 1000)) !== null);
  });

  it("is nobody else's", async () => {
    const [keys, others] = [await givenKeys(await pem()), await givenKeys(await pem())];
    const seals = sealsOf(keys);
    const claims = { cn: "root" };
    const expires = new Date(soon);
    const [secret = new Uint8Array()] = await keys.secrets("sign-in session", now);
    const encrypted = (alg: string, enc: string, key: Uint8Array) =>
      new EncryptJWT(claims)
        .setProtectedHeader({ alg, enc })
        .setAudience("app")
        .setExpirationTime(expires)
        .encrypt(key);
    const bad = [
      await sealsOf(others).seal("session", "app", claims, now, soon),
      await new SignJWT(claims)
        .setProtectedHeader({ alg: "HS256" })
        .setAudience("app")
        .setExpirationTime(expires)
        .sign(secret),
      new UnsecuredJWT(claims).setAudience("app").setExpirationTime(expires).encode(),
      await encrypted("A256KW", "A256GCM", secret),
      await encrypted("dir", "A128CBC-HS256", secret),
      await new EncryptJWT(claims)
        .setProtectedHeader({ alg: "dir", enc: "A256GCM" })
        .setAudience("app")
        .encrypt(secret),
      "",
      "....",
    ];
    for (const [i, text] of bad.entries())
      assert.equal(await seals.open("session", "app", text, now), null, String(i));
    assert.ok((await seals.open("session", "app", await encrypted("dir", "A256GCM", secret), now)) !== null);
  });

  it("holds while keys replace each other", async () => {
    const [old, next] = [await pem(), await pem("EdDSA")];
    const before = await sealsOf(await givenKeys(old)).seal("session", "app", {}, now, soon);
    const both = sealsOf(await givenKeys(next + old));
    assert.ok((await both.open("session", "app", before, now)) !== null);
    const after = await both.seal("session", "app", {}, now, soon);
    assert.equal(await sealsOf(await givenKeys(old)).open("session", "app", after, now), null);

    const dayMs = 86_400_000;
    const generated = sealsOf(new GeneratedKeys(now));
    const text = await generated.seal("session", "app", {}, now + dayMs - 1000, now + dayMs + 3_600_000);
    assert.ok((await generated.open("session", "app", text, now + dayMs + 3_500_000)) !== null);
    const later = await generated.seal("session", "app", {}, now + dayMs, now + 3 * dayMs);
    await generated.seal("session", "app", {}, now + 2 * dayMs, soon);
    assert.ok((await generated.open("session", "app", later, now + 2 * dayMs)) !== null);
  });

  // By Node's own HKDF, from the private number in base64url.
  it("has keys that follow from the router's, the same on every runtime", async () => {
    const hex = async (keys: AssertionKeys, purpose: string): Promise<string[]> =>
      (await keys.secrets(purpose, now)).map((bytes) => Buffer.from(bytes).toString("hex"));
    const keys = await givenKeys(known);
    assert.deepEqual(await hex(keys, "sign-in session"), [
      "c47dff9c9f5492d7431767d4a4f0ef31ac1baebbba306959d033bff0e2a30d27",
    ]);
    assert.notDeepEqual(await hex(keys, "sign-in session"), await hex(keys, "sign-in state"));
    for (const alg of ["ES256", "EdDSA", "RS256"])
      assert.equal((await hex(await givenKeys(await pem(alg)), "x")).length, 1);
  });
});
