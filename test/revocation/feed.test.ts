import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type CrlRule, RevocationLists } from "../../src/identity/revocation/lists.ts";
import { KnownRevocations } from "../../src/identity/revocation/revocation.ts";
import { silentLog } from "../../src/observe/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { RevocationFeed } from "../../src/revocation/feed.ts";
import { type ListFiles, listsIn, parseSources } from "../../src/revocation/read-lists.ts";
import { type Holder, hourMs, intermediate, leaf, name, root } from "../support/crafted-certificates.ts";
import { crl, crlPem } from "../support/crafted-crl.ts";
import { parsed } from "../support/paths.ts";

const anchor = root();
const other = intermediate(anchor, { subject: name(["CN", "Other"]) });
const lost = leaf(anchor, { serial: "11" });
const lostElsewhere = leaf(other, { serial: "22" });
const now = Date.now();

/** A folder of lists that can be written to. */
function folder(rule: CrlRule = "hard") {
  const contents = new Map<string, Uint8Array>();
  const files: ListFiles = {
    stamp: () => [...contents].map(([file, bytes]) => `${file} ${bytes.length} ${bytes.at(-1)}`).join(),
    isFolder: (path) => path === "lists",
    list: () => [...contents.keys()],
    readBytes: (path) => contents.get(path.replace("lists/", "")) ?? new Uint8Array(0),
  };
  const known = new KnownRevocations(
    new RevocationLists([], rule, []),
    { serials: new Set(), hashes: new Set() },
    null,
  );
  const sources = [{ kind: "path", name: "lists" }] as const;
  const feed = new RevocationFeed(sources, rule, files, known, silentLog, new Metrics());
  return {
    contents,
    feed,
    reason: async (...path: readonly Holder[]) =>
      (await known.check(path.map(parsed), now)).failure?.reason ?? "good",
    look: async () => {
      feed.tick(now);
      await new Promise((resolve) => setTimeout(resolve, 0));
    },
  };
}

describe("a file of revocation lists", () => {
  it("is read whole, or not at all", () => {
    const text = crlPem(crl(anchor), crl(other));
    const read = (part: string) => listsIn(new TextEncoder().encode(part)).length;
    assert.equal(read(text), 2);
    assert.equal(read(`words\n${text}`), 2);
    for (const cut of [30, 200, 20]) assert.throws(() => read(text.slice(0, -cut)), /cut off/);
  });

  it("at a URL is named without what may be a secret", () => {
    const [source] = parseSources("https://crl.test:8443/a.crl?sig=hunter2");
    assert.equal(source?.name, "https://crl.test:8443/a.crl");
    assert.throws(
      () => parseSources("https://me:hunter2@crl.test/"),
      /^Error: holds a URL with a user's name/,
    );
  });
});

describe("a feed of revocation lists", () => {
  it("does not let a forged list take the place of a genuine one, nor keep the next one out", async () => {
    for (const rule of ["hard", "soft"] as const) {
      const { contents, feed, reason, look } = folder(rule);
      contents.set("a.crl", crl(anchor, { revoked: ["11"], thisUpdate: now - 2 * hourMs, number: 5 }));
      await feed.start();
      assert.equal(await reason(lost, anchor), "client_cert_revoked");
      const forger = root();
      for (let i = 0; i < 3; i++) {
        contents.set(
          "a.crl",
          crl(forger, { issuer: anchor.name, thisUpdate: now - i, number: 200 + i, more: [] }),
        );
        await look();
        assert.equal(await reason(lost, anchor), "client_cert_revoked", `${rule} ${i}`);
      }
      contents.set("a.crl", crl(anchor, { revoked: ["12"], thisUpdate: now - hourMs, number: 6 }));
      await look();
      assert.equal(await reason(lost, anchor), "good", "taken back by the issuer itself");
    }
  });

  it("does not forget whom a list revoked when the list is gone", async () => {
    const { contents, feed, reason, look } = folder();
    contents.set("a.crl", crl(anchor, { revoked: ["11"] }));
    contents.set("b.crl", crl(other, { revoked: ["22"] }));
    await feed.start();
    contents.delete("b.crl");
    await look();
    assert.equal(await reason(lostElsewhere, other, anchor), "client_cert_revoked");
    contents.set("b.crl", crl(other, { revoked: [], thisUpdate: now - 1000, number: 9 }));
    await look();
    assert.equal(await reason(lostElsewhere, other, anchor), "good");
  });
});
