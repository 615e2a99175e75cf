import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { nobody } from "../../src/identity/revocation/deny-list.ts";
import { SignIn, type SignInParts } from "../../src/sign-in/sign-in.ts";
import { claimsOf, readClaims } from "../../src/sign-in/signed-in.ts";

describe("a session that was signed out of", () => {
  it("stays so when tens of thousands of others are", async () => {
    const told: string[] = [];
    const parts = {
      providers: [],
      secrets: async () => [],
      denied: () => nobody,
      rate: () => ({ take: async () => {} }),
      tellSignedOut: (id: string) => void told.push(id),
    };
    const signIn = new SignIn(parts as unknown as SignInParts);
    const claims = claimsOf("of-alice", "staff:alice", { commonName: "alice" });
    const now = Date.UTC(2026, 10, 28);
    const alice = await readClaims({ ...claims, exp: now / 1000 + 3600 });
    assert.ok(alice !== null);
    assert.ok(signIn.isGood(alice, now));
    signIn.signOut(alice);
    assert.deepEqual(told, ["of-alice"]);
    for (let i = 0; i < 50_000; i++) signIn.signedOut(`of-mallory-${i}`);
    assert.ok(!signIn.isGood(alice, now));
  });
});
