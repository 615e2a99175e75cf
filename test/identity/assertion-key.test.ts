import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { calculateJwkThumbprint, exportPKCS8, generateKeyPair, importJWK, jwtVerify, SignJWT } from "jose";
import {
  type AssertionKeys,
  GeneratedKeys,
  givenKeys,
  SharedKeys,
} from "../../src/identity/assertion-key.ts";

const secret = ["d", "p", "q", "dp", "dq", "qi", "k", "oth"];

describe("the key of assertions", () => {
  for (const alg of ["ES256", "EdDSA", "RS256"]) {
    it(`may be one for ${alg}, and shows its public half alone`, async () => {
      const { privateKey } = await generateKeyPair(alg, { extractable: true });
      const { keys } = await (await givenKeys(await exportPKCS8(privateKey))).published(0);
      const [jwk, ...others] = keys;
      assert.ok(jwk !== undefined && others.length === 0);
      assert.equal(jwk.alg, alg);
      assert.equal(jwk.use, "sig");
      assert.equal(jwk.kid, await calculateJwkThumbprint(jwk));
      for (const member of secret) assert.ok(!(member in jwk), member);
    });
  }

  it("is made anew where none is given", async () => {
    const [first, second] = [
      await new GeneratedKeys(0).published(0),
      await new GeneratedKeys(0).published(0),
    ];
    assert.notEqual(first.keys[0]?.kid, second.keys[0]?.kid);
    for (const member of secret) assert.ok(!(member in (first.keys[0] ?? {})), member);
  });

  it("made anew, is replaced daily: known before it signs, and until nothing it signed is good", async () => {
    const day = 86_400_000;
    const keys = new GeneratedKeys(0);
    const ids = async (now: number): Promise<(string | undefined)[]> =>
      (await keys.published(now)).keys.map(({ kid }) => kid);
    const [first, second, ...none] = await ids(day - 1);
    assert.deepEqual(none, []);
    assert.equal((await keys.signing(day - 1)).jwk.kid, first);
    // All at once: replaced once.
    const signing = await Promise.all([keys.signing(day), keys.signing(day), keys.signing(day)]);
    assert.deepEqual(
      signing.map(({ jwk }) => jwk.kid),
      [second, second, second],
    );
    const after = await ids(day + 119_999);
    assert.deepEqual([after[0], after[2], after.length], [second, first, 3]);
    assert.deepEqual(await ids(day + 120_000), after.slice(0, 2));
  });

  it("that can't be made just now is made for whoever asks next, and the one there is signs on meanwhile", async () => {
    const day = 86_400_000;
    let failures = 1;
    const spare = new GeneratedKeys(0);
    const make = async () => {
      if (failures-- > 0) throw new Error("no entropy");
      return spare.signing(0);
    };
    const keys = new GeneratedKeys(0, make);
    await assert.rejects(new GeneratedKeys(0, () => Promise.reject(new Error("never"))).signing(0), /never/);
    await assert.doesNotReject(keys.signing(0));
    failures = 1;
    const before = await keys.published(day - 1);
    assert.deepEqual(await keys.published(day), before);
    assert.equal((await keys.published(day)).keys.length, 3);
  });

  it("made anew, goes to other processes, which sign with it and follow when it is replaced", async () => {
    const day = 86_400_000;
    const keys = new GeneratedKeys(0);
    const shared = new SharedKeys(JSON.parse(JSON.stringify(await keys.exported(0))));
    assert.deepEqual(await shared.published(0), await keys.published(0));
    const { key, alg } = await shared.signing();
    const token = await new SignJWT({}).setProtectedHeader({ alg }).sign(key);
    const [jwk] = (await keys.published(0)).keys;
    assert.ok(jwk !== undefined);
    await jwtVerify(token, await importJWK(jwk, alg));
    shared.replace(JSON.parse(JSON.stringify(await keys.exported(day))));
    assert.deepEqual(await shared.published(day), await keys.published(day));
    assert.equal((await shared.signing()).jwk.kid, (await keys.signing(day)).jwk.kid);
  });

  it("made anew, has the same secrets in all processes, also while it is replaced in one after the other", async () => {
    const day = 86_400_000;
    const keys = new GeneratedKeys(0);
    const hex = (secret: Uint8Array | undefined): string => Buffer.from(secret ?? []).toString("hex");
    const all = async (from: AssertionKeys, now: number): Promise<string[]> =>
      (await from.secrets("a test", now)).map(hex);
    const here = new SharedKeys(JSON.parse(JSON.stringify(await keys.exported(0))));
    const there = new SharedKeys(JSON.parse(JSON.stringify(await keys.exported(0))));
    assert.deepEqual(await all(here, 0), await all(there, 0));
    assert.deepEqual(await all(here, 0), await all(keys, 0));
    const [before] = await all(here, 0);
    there.replace(JSON.parse(JSON.stringify(await keys.exported(day))));
    const [after] = await all(there, day);
    assert.notEqual(after, before);
    // Each opens what the other has sealed.
    assert.ok((await all(here, day)).includes(after ?? ""));
    assert.ok((await all(there, day)).includes(before ?? ""));
  });

  it("may be several: the first signs, all are published", async () => {
    const pems = await Promise.all(
      ["ES256", "RS256", "ES256"].map(async (alg) =>
        exportPKCS8((await generateKeyPair(alg, { extractable: true })).privateKey),
      ),
    );
    const keys = await givenKeys(pems.join("\n"));
    const { keys: published } = await keys.published(0);
    assert.deepEqual(
      published.map(({ alg }) => alg),
      ["ES256", "RS256", "ES256"],
    );
    assert.equal((await keys.signing(0)).jwk.kid, published[0]?.kid);
    await assert.rejects(
      givenKeys(`${pems[0]}\n-----BEGIN X-----\nAA==\n-----END X-----`),
      /expected a private key/,
    );
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
      await assert.rejects(givenKeys(pem), (error: Error) => {
        assert.match(error.message, /expected a private key in PEM/);
        return pem === "" || !error.message.includes(pem);
      });
    }
  });
});
