import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ScramClient, ScramError, saslPrepared } from "../../src/sasl/scram.ts";

/** RFC 7677 §3. */
const vector = {
  user: "user",
  password: "pencil",
  nonce: "rOprNGfwEbeRWgbNEkqO",
  serverFirst: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
  clientFinal:
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
  serverFinal: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
};
const begun = (): ScramClient => new ScramClient(vector.user, vector.password, vector.nonce);

describe("SCRAM-SHA-256", () => {
  it("is as the RFC has it", async () => {
    const scram = begun();
    assert.equal(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    assert.equal(await scram.final(vector.serverFirst), vector.clientFinal);
    assert.equal(scram.proven, false);
    await scram.verify(vector.serverFinal);
    assert.equal(scram.proven, true);
  });

  it("takes another nonce each time", () =>
    assert.notEqual(new ScramClient("", "p").first(), new ScramClient("", "p").first()));

  it("writes commas and equals signs in a name as the RFC has it", () =>
    assert.equal(new ScramClient("a,b=c", "p", "n").first(), "n,,n=a=2Cb=3Dc,r=n"));

  for (const [what, message] of [
    ["another's nonce", "r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"],
    ["our nonce and nothing of its own", `r=${vector.nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`],
    ["no salt", `r=${vector.nonce}x,s=,i=4096`],
    ["a salt that is no base64", `r=${vector.nonce}x,s=!!!!,i=4096`],
    ["no iterations", `r=${vector.nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==`],
    ["none at all", `r=${vector.nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0`],
    ["too many", `r=${vector.nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1000001`],
    ["an extension that must be understood", `m=x,r=${vector.nonce}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`],
    ["its parts in another order", `s=W22ZaJ0SNY7soEsUEjb6gQ==,r=${vector.nonce}x,i=4096`],
    ["a message without end", `r=${vector.nonce}${"x".repeat(5000)},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`],
  ] as const) {
    it(`refuses ${what}`, () => assert.rejects(begun().final(message), ScramError));
  }

  it("answers one message and no second", async () => {
    const scram = begun();
    await scram.final(vector.serverFirst);
    await assert.rejects(scram.final(vector.serverFirst), ScramError);
  });

  for (const message of ["", "v=", "e=invalid-proof", `v=${"A".repeat(43)}=`, "v=!"]) {
    it(`does not take ${JSON.stringify(message)} for a proof`, async () => {
      const scram = begun();
      await scram.final(vector.serverFirst);
      await assert.rejects(scram.verify(message), ScramError);
      assert.equal(scram.proven, false);
    });
  }

  it("takes no proof before the exchange", () =>
    assert.rejects(begun().verify(vector.serverFinal), ScramError));

  it("prepares passwords as both sides do (RFC 4013)", () => {
    assert.equal(saslPrepared("plain ascii!"), "plain ascii!");
    assert.equal(saslPrepared("I\u00adX"), "IX");
    assert.equal(saslPrepared("\u00aa"), "a");
    assert.equal(saslPrepared("\u2168"), "IX");
    assert.equal(saslPrepared("a\u00a0b"), "a b");
    // What may not be written so stands as it is.
    assert.equal(saslPrepared("\u00aa\u0007"), "\u00aa\u0007");
  });
});
