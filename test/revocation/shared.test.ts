import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { RevocationLists } from "../../src/identity/revocation/lists.ts";
import { KnownRevocations } from "../../src/identity/revocation/revocation.ts";
import { silentLog } from "../../src/observe/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { RevocationFeed } from "../../src/revocation/feed.ts";
import { listsIn } from "../../src/revocation/read-lists.ts";
import { SharedRevocations } from "../../src/revocation/shared.ts";
import { RedisState } from "../../src/state/redis-state.ts";
import { type Holder, hourMs, intermediate, leaf, name, root } from "../support/crafted-certificates.ts";
import { crl } from "../support/crafted-crl.ts";
import { parsed } from "../support/paths.ts";
import { missing } from "../support/programs.ts";
import { createSite, type Site } from "../support/router.ts";
import { StateServer, settled } from "../support/state.ts";

const anchor = root();
const impostor = root({ subject: name(["CN", "Impostor"]) });
const other = intermediate(anchor, { subject: name(["CN", "Other"]) });
const lost = leaf(anchor, { serial: "11" });
const found = leaf(anchor, { serial: "12" });
const now = Date.now();

describe("what several routers know of revoked certificates", { skip: missing("redis-server") }, () => {
  let site: Site;
  let server: StateServer;
  const ends: (() => Promise<void>)[] = [];

  /** A router with a list of its own, and with its own secret a group of its own. */
  async function router(secret: number, own: Uint8Array) {
    const state = await RedisState.open(
      { ...server.settings, secret: new Uint8Array(32).fill(secret) },
      silentLog,
    );
    const shared = new SharedRevocations(state);
    const known = new KnownRevocations(
      new RevocationLists([], "hard", []),
      { serials: new Set(), hashes: new Set() },
      null,
    );
    const files = { stamp: () => "", isFolder: () => false, list: () => [], readBytes: () => own };
    const sources = [{ kind: "path", name: "list" }] as const;
    const feed = new RevocationFeed(sources, "hard", files, known, silentLog, new Metrics(), shared);
    shared.onChange(() => feed.publish());
    ends.push(() => {
      shared.stop();
      return state.close();
    });
    await feed.start();
    return {
      ...{ state, shared, feed },
      start: async () => {
        await state.start(10_000);
        feed.tick(now);
      },
      reason: async (holder: Holder) =>
        (await known.check([holder, anchor].map(parsed), now)).failure?.reason ?? "good",
    };
  }

  before(async () => {
    site = await createSite(["localhost"]);
    server = await StateServer.start(site);
  });
  after(async () => {
    for (const end of ends) await end();
    server?.stop();
    site?.remove();
  });

  const list = (number: number, ...revoked: string[]): Uint8Array =>
    crl(anchor, { number, revoked, thisUpdate: now - hourMs + number * 1000 });

  it("the newest list counts, which an older one does not undo", async () => {
    const [a, b] = [await router(1, list(2, "11")), await router(1, list(1))];
    assert.equal(await b.reason(lost), "client_cert_untrusted", "nothing of the others was read");
    await Promise.all([a.start(), b.start()]);
    await settled(async () => {
      // Again and again, as in a router: of two that begin at once the older one may have had the last word.
      a.feed.tick(now);
      return (await b.reason(lost)) === "client_cert_revoked";
    });
    assert.equal(await b.reason(found), "good");
    const c = await router(1, list(1));
    await c.start();
    await settled(async () => (await c.reason(lost)) === "client_cert_revoked");
    assert.equal(await a.reason(lost), "client_cert_revoked");
  });

  it("a list that its issuer did not sign, or of another issuer, changes nothing", async () => {
    const [a, b] = [await router(2, list(1, "11")), await router(2, list(1, "11"))];
    await Promise.all([a.start(), b.start()]);
    const forged = crl(impostor, { issuer: anchor.name, number: 9, revoked: ["12"], thisUpdate: now });
    const foreign = crl(other, { number: 9, revoked: ["12"] });
    for (const der of [forged, foreign]) for (const one of listsIn(der)) a.shared.tell(one);
    await settled(() => b.shared.lists.length === 2);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual([await b.reason(lost), await b.reason(found)], ["client_cert_revoked", "good"]);
  });

  it("what one router's file denies is denied at all, until it is taken out of it", async () => {
    const [a, b] = [await router(3, list(1)), await router(3, list(1))];
    await Promise.all([a.start(), b.start()]);
    const none = new Set<string>();
    const hash = "ab".repeat(32);
    a.shared.deny({ serials: new Set(["11", "12"]), hashes: new Set([hash]) });
    await settled(() => b.shared.denied.serials.size === 2);
    assert.deepEqual([...b.shared.denied.hashes], [hash]);
    a.shared.deny({ serials: new Set(["12"]), hashes: none });
    await settled(() => b.shared.denied.hashes.size === 0);
    assert.deepEqual([...b.shared.denied.serials], ["12"]);
    const c = await router(3, list(1));
    c.shared.deny({ serials: none, hashes: none });
    await c.start();
    await settled(() => c.shared.denied.serials.has("12"));
    assert.deepEqual([...a.shared.denied.serials], ["12"]);
  });
});
