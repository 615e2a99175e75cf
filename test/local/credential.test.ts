import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ExtendedKeyUsage } from "../../src/authority/x509.ts";
import { CredentialKeeper, checkDates, readCredential, spell } from "../../src/local/credential.ts";
import type { ClientPair } from "../../src/local/link.ts";
import { authority, hourMs } from "../support/environment.ts";
import { make } from "../support/pki.ts";

const issued = async (commonName = "alice"): Promise<ClientPair> => {
  const { cert, key } = await authority.client({ commonName, groups: [] }, hourMs);
  return { certificate: cert, key };
};

/** Nearly over: in the last third of its life. */
async function old(leftMs: number): Promise<ClientPair> {
  const { cert, key } = await make({
    notBefore: Date.now() - 10 * hourMs,
    notAfter: Date.now() + leftMs,
    purposes: [ExtendedKeyUsage.clientAuth],
  });
  return { certificate: cert, key };
}

describe("a client certificate that is kept up to date", () => {
  it("is read anew for every connection: another program may have renewed it", async () => {
    let pair = await issued("alice");
    const keeper = new CredentialKeeper(
      () => pair,
      null,
      () => {},
    );
    assert.equal((await keeper.current()).subject, "CN=alice");
    pair = await issued("bob");
    assert.equal((await keeper.current()).subject, "CN=bob");
  });

  it("is renewed in the last third of its life, once for all who wait", async () => {
    let pair = await old(hourMs);
    let renewals = 0;
    const fresh = await issued("alice");
    const keeper = new CredentialKeeper(
      () => pair,
      async () => {
        renewals++;
        await new Promise((resolve) => setTimeout(resolve, 20));
        pair = fresh;
      },
      () => {},
    );
    const both = await Promise.all([keeper.current(), keeper.current()]);
    assert.deepEqual(
      both.map((one) => one.pair),
      [fresh, fresh],
    );
    await keeper.current();
    assert.equal(renewals, 1);
  });

  it("stays what it is while renewal fails, which is said once a while", async () => {
    const pair = await old(hourMs);
    const said: string[] = [];
    let attempts = 0;
    const keeper = new CredentialKeeper(
      () => pair,
      async () => {
        attempts++;
        throw new Error("the router is away");
      },
      (line) => said.push(line),
    );
    assert.equal((await keeper.current()).pair, pair);
    assert.equal((await keeper.current()).pair, pair);
    assert.equal(attempts, 1);
    assert.deepEqual(said, [
      "your certificate can't be renewed (the router is away): run sallyport login within 60 min",
    ]);
  });

  it("says what to do where there is none, or none that is good", async () => {
    const none = new CredentialKeeper(
      () => null,
      null,
      () => {},
    );
    await assert.rejects(none.current(), /there is no client certificate: run sallyport login/);
    const over = await readCredential(await old(hourMs));
    assert.throws(
      () => checkDates(over, over.notAfter + 3 * 60_000),
      /^Error: your certificate expired 3 min ago: run sallyport login$/,
    );
    assert.throws(() => checkDates(over, over.notBefore - 2 * hourMs), /valid in 2 h only: .*clock/);
    const junk = new CredentialKeeper(
      () => ({ certificate: "junk", key: "" }),
      null,
      () => {},
    );
    await assert.rejects(junk.current(), /can't be read: run sallyport login/);
  });

  it("spells spans as people do", () => {
    const spans = [0, 1000, 89_000, 180_000, 5_400_000, 7_200_000, 200_000_000];
    assert.deepEqual(spans.map(spell), ["0 s", "1 s", "89 s", "3 min", "2 h", "2 h", "2 days"]);
  });
});
