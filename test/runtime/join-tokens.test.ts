import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { hashOf, newJoinToken } from "../../src/enrolment/join-token.ts";
import { addJoinToken, joinTokenFiles } from "../../src/runtime/join-tokens.ts";

const folder = mkdtempSync(join(tmpdir(), "sallyport-tokens-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const store = joinTokenFiles(folder);

const record = (expires = Date.now() + 60_000) => ({
  person: { commonName: "builder", groups: ["ci"], emails: [], dnsNames: [], uris: [] },
  lifetimeMs: 3_600_000,
  expires,
});

describe("join tokens in a folder", () => {
  it("are kept by their hashes alone, their owner's to read", async () => {
    const token = newJoinToken();
    const made = record();
    addJoinToken(folder, await hashOf(token), made, Date.now());
    assert.deepEqual(await store.find(await hashOf(token)), { record: made, spent: false });
    for (const name of readdirSync(join(folder, "tokens"))) {
      assert.equal(statSync(join(folder, "tokens", name)).mode & 0o777, 0o600);
      const text = name + readFileSync(join(folder, "tokens", name), "utf8");
      assert.ok(!text.includes(token.slice("sallyport-join-".length)));
    }
    assert.equal(statSync(join(folder, "tokens")).mode & 0o777, 0o700);
  });

  it("are of 256 bits, no two alike", () => {
    const made = new Set(Array.from({ length: 100 }, newJoinToken));
    assert.equal(made.size, 100);
    for (const token of made) assert.match(token, /^sallyport-join-[A-Za-z0-9_-]{43}$/);
  });

  it("are used up by one of many who come at once", async () => {
    const hash = await hashOf(newJoinToken());
    addJoinToken(folder, hash, record(), Date.now());
    // As several routers would, with stores of their own.
    const stores = Array.from({ length: 20 }, () => joinTokenFiles(folder));
    const got = await Promise.all(stores.map((one) => one.spend(hash)));
    assert.equal(got.filter(Boolean).length, 1);
    assert.equal((await store.find(hash))?.spent, true);
    assert.equal(await store.spend(hash), false);
  });

  it("that nobody made are nowhere", async () => {
    assert.equal(await store.find("0".repeat(64)), null);
    assert.equal(await store.spend("0".repeat(64)), false);
  });

  it("are forgotten once their time has passed, and nothing else is", async () => {
    const [old, used, fresh] = ["a", "b", "c"].map((letter) => letter.repeat(64));
    const now = Date.now();
    addJoinToken(folder, old ?? "", record(now + 1000), now);
    addJoinToken(folder, used ?? "", record(now + 1000), now);
    await store.spend(used ?? "");
    writeFileSync(join(folder, "tokens", "notes.txt"), "mine");
    addJoinToken(folder, fresh ?? "", record(now + 9_000_000), now + 2000);
    const left = readdirSync(join(folder, "tokens"));
    assert.ok(!left.includes(`${old}.json`) && !left.includes(`${used}.used`));
    assert.ok(left.includes(`${fresh}.json`) && left.includes("notes.txt"));
  });

  it("that can't be read are nobody's", async () => {
    writeFileSync(join(folder, "tokens", `${"d".repeat(64)}.json`), '{"person":{}}');
    await assert.rejects(store.find("d".repeat(64)), /can't be read/);
  });
});
