import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { calculateJwkThumbprint, exportPKCS8, generateKeyPair } from "jose";
import { assertionKeys } from "../../src/identity/assertion-key.ts";

const secret = ["d", "p", "q", "dp", "dq", "qi", "k", "oth"];

describe("the key of assertions", () => {
  for (const alg of ["ES256", "EdDSA", "RS256"]) {
    it(`may be one for ${alg}, and shows its public half alone`, async () => {
      const { privateKey } = await generateKeyPair(alg, { extractable: true });
      const { keys } = await assertionKeys(await exportPKCS8(privateKey));
      const [jwk, ...others] = keys;
      assert.ok(jwk !== undefined && others.length === 0);
      assert.equal(jwk.alg, alg);
      assert.equal(jwk.use, "sig");
      assert.equal(jwk.kid, await calculateJwkThumbprint(jwk));
      for (const member of secret) assert.ok(!(member in jwk), member);
    });
  }

  it("is made anew where none is given", async () => {
    const [first, second] = [await assertionKeys(null), await assertionKeys(null)];
    assert.notEqual(first.keys[0]?.kid, second.keys[0]?.kid);
    for (const member of secret) assert.ok(!(member in (first.keys[0] ?? {})), member);
  });

  it("may not be weak, or none; what was given is not repeated", async () => {
    const weak = await crypto.subtle.generateKey(
      {
        name: "RSASSA-PKCS1-v1_5",
        modulusLength: 1024,
        publicExponent: Uint8Array.of(1, 0, 1),
        hash: "SHA-256",
      },
      true,
      ["sign", "verify"],
    );
    for (const pem of [await exportPKCS8(weak.privateKey), "c2VjcmV0", ""]) {
      await assert.rejects(assertionKeys(pem), (error: Error) => {
        assert.match(error.message, /expected a private key in PEM/);
        return pem === "" || !error.message.includes(pem);
      });
    }
  });
});
