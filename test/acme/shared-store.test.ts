import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { SharedStore } from "../../src/acme/shared-store.ts";
import { orderedPair } from "../../src/config/acme.ts";
import { acmeFiles } from "../../src/runtime/acme-files.ts";
import { files } from "../../src/runtime/files.ts";
import { type SharedMap, type SharedState, StateAway } from "../../src/state/state.ts";
import { authority } from "../support/environment.ts";

const hourMs = 3_600_000;
const folder = mkdtempSync(join(tmpdir(), "sallyport-acme-"));
after(() => rmSync(folder, { recursive: true }));

/** What routers share, in memory; a partition has two. */
class Meeting {
  readonly values = new Map<string, string>();
  readonly callbacks: ((name: string, value: string | undefined) => void)[] = [];
  readonly holders = new Map<string, string>();
  isAway = false;
  asked = 0;
  /** Nobody hears of a value that is set, for now. */
  isSlow = false;

  readonly map: SharedMap<string> = {
    get: (name) => this.values.get(name),
    entries: () => new Map(this.values).entries(),
    set: async (name, value) => {
      this.values.set(name, value);
      if (this.isSlow) return;
      for (const callback of this.callbacks) callback(name, value);
    },
    delete: async (name) => {
      if (!this.values.delete(name)) return;
      for (const callback of this.callbacks) callback(name, undefined);
    },
    refresh: async () => {
      if (this.isAway) throw new StateAway("away");
    },
    ask: async (name) => {
      this.asked++;
      if (this.isAway) throw new StateAway("away");
      return this.values.get(name);
    },
    onChange: (callback) => void this.callbacks.push(callback),
  };

  /** A router's view. */
  state(id: string): SharedState {
    const lease = async (key: string): Promise<number> => {
      if (this.isAway) throw new StateAway("away");
      if ((this.holders.get(key) ?? id) !== id) return 0;
      this.holders.set(key, id);
      return 1;
    };
    const hold = async (keys: readonly string[]): Promise<void> => {
      for (const key of keys) this.holders.delete(key);
    };
    return { id, lease, hold, leaseMs: 6000 } as unknown as SharedState;
  }
}

const goodUntil = (name: string, text: string): number | null => {
  try {
    return orderedPair(name, text, files).notAfter.getTime();
  } catch {
    return null;
  }
};

let routers = 0;
function router(meeting: Meeting, names: readonly string[] = ["a.test"]) {
  const id = `router-${++routers}`;
  const own = acmeFiles(join(folder, id));
  const parts = { own, directory: "ca.test-dir", names: () => names, goodUntil, now: Date.now };
  const store = new SharedStore(meeting.state(id), meeting.map, parts);
  const at = (path: string): string => join(folder, id, path);
  return { own, store, at, look: () => store.takeUp(names) };
}

const issued = async (name: string, ms = hourMs): Promise<string> => {
  const { cert, key } = await authority.server([name], ms);
  return `${key}${cert}`;
};

const failure = { count: 2, next: Date.now() + hourMs, problem: "no" };

describe("what routers with folders of their own tell each other", () => {
  it("a certificate that one has every other has, its own file", async () => {
    const meeting = new Meeting();
    const [a, b] = [router(meeting), router(meeting)];
    const text = await issued("a.test");
    a.store.keepCertificate("a.test", text);
    b.look();
    assert.equal(b.own.certificate("a.test"), text);
    // One that was there before anything was shared is told, and the later one counts.
    const later = `${await issued("a.test")}`;
    const c = router(new Meeting());
    c.own.keepCertificate("a.test", text);
    const d = router(meeting);
    d.own.keepCertificate("a.test", later);
    d.look();
    for (const one of [a, b, d]) one.look();
    const told = meeting.values.get("ca.test-dir certificate a.test");
    for (const one of [a, b, d]) assert.equal(one.own.certificate("a.test"), told);
    for (const one of [a, b, d]) one.look();
    assert.equal(meeting.values.get("ca.test-dir certificate a.test"), told, "it comes to rest");
  });

  it("a file that is removed is asked for anew, and one that never was there comes", async () => {
    const meeting = new Meeting();
    const [a, b] = [router(meeting), router(meeting)];
    const text = await issued("a.test");
    a.store.keepCertificate("a.test", text);
    b.look();
    rmSync(b.at("certificates/a.test.pem"));
    b.look();
    assert.equal(b.own.certificate("a.test"), null);
    assert.equal(meeting.values.size, 0);
    a.look();
    assert.equal(a.own.certificate("a.test"), text, "served until there is another");
    assert.equal(meeting.values.size, 0, "and not told again");
    const fresh = router(meeting);
    b.store.keepCertificate("a.test", text);
    fresh.look();
    assert.equal(fresh.own.certificate("a.test"), text);
  });

  it("a failure is everybody's, until it is over or somebody removes it", () => {
    const meeting = new Meeting();
    const [a, b] = [router(meeting), router(meeting)];
    a.store.keepFailure("a.test", failure);
    b.look();
    assert.deepEqual(b.store.failure("a.test"), failure);
    rmSync(b.at("failures/a.test.json"));
    b.look();
    a.look();
    assert.equal(a.store.failure("a.test"), null);
    a.store.keepFailure("a.test", failure);
    b.look();
    a.store.keepFailure("a.test", null);
    b.look();
    assert.equal(b.store.failure("a.test"), null);
  });

  it("nothing is taken that can't be served, or is for a name or a file of no business here", async () => {
    const meeting = new Meeting();
    const a = router(meeting);
    const other = await issued("b.test");
    await meeting.map.set("ca.test-dir certificate a.test", other, null);
    await meeting.map.set("ca.test-dir failure a.test", "{}", null);
    await meeting.map.set("ca.test-dir certificate b.test", other, null);
    for (const key of ["tls-alpn-01 b.test", "http-01 ../x", "http-01 a/b", `http-01 ${"x".repeat(200)}`])
      await meeting.map.set(`ca.test-dir ${key}`, "answer", null);
    await meeting.map.set("elsewhere tls-alpn-01 a.test", "answer", null);
    a.look();
    assert.deepEqual([a.own.certificate("a.test"), a.own.certificate("b.test")], [null, null]);
    assert.equal(a.own.failure("a.test"), null);
    assert.equal(await a.own.challenge("tls-alpn-01", "a.test"), null);
    assert.equal(await a.own.challenge("tls-alpn-01", "b.test"), null);
    assert.equal(await a.own.challenge("http-01", "../x"), null);
    const good = await issued("a.test");
    a.store.keepCertificate("a.test", good);
    await meeting.map.set("ca.test-dir certificate a.test", other, null);
    a.look();
    assert.equal(a.own.certificate("a.test"), good);
  });

  it("validations are answered by all, those that began before one started too", async () => {
    const meeting = new Meeting();
    const [a, b] = [router(meeting), router(meeting)];
    const published = a.store.publish("tls-alpn-01", "a.test", "one");
    await published;
    assert.equal(await b.store.challenge("tls-alpn-01", "a.test"), "one");
    assert.equal(await router(meeting).store.challenge("tls-alpn-01", "a.test"), "one");
    a.store.withdraw("tls-alpn-01", "a.test");
    for (const one of [a, b]) assert.equal(await one.store.challenge("tls-alpn-01", "a.test"), null);
  });

  it("a validation that comes before anybody has heard of it is answered all the same", async () => {
    const meeting = new Meeting();
    const [a, b] = [router(meeting), router(meeting)];
    meeting.isSlow = true;
    const published = a.store.publish("tls-alpn-01", "a.test", "one");
    const asking = Array.from({ length: 5 }, () => b.store.challenge("tls-alpn-01", "a.test"));
    assert.deepEqual(
      await Promise.all(asking),
      Array.from({ length: 5 }, () => "one"),
    );
    assert.equal(meeting.asked, 1, "asked once for all that come together");
    await published;
    const strangers = Array.from({ length: 100 }, (_, i) => b.store.challenge("http-01", `t${i}`));
    assert.ok((await Promise.all(strangers)).every((answer) => answer === null));
    assert.equal(meeting.asked, 1 + 16, "so many at once at the most");
    meeting.isAway = true;
    assert.equal(await b.store.challenge("tls-alpn-01", "a.test"), null);
    await assert.rejects(a.store.publish("tls-alpn-01", "a.test", "two"), StateAway);
  });

  it("a failure that a clock set too far ahead is not taken", () => {
    const meeting = new Meeting();
    const a = router(meeting);
    const ahead = { ...failure, next: Date.now() + 365 * 24 * hourMs };
    void meeting.map.set("ca.test-dir failure a.test", JSON.stringify(ahead), null);
    a.look();
    assert.equal(a.store.failure("a.test"), null);
    a.store.keepFailure("a.test", failure);
    void meeting.map.set("ca.test-dir failure a.test", JSON.stringify(ahead), null);
    a.look();
    assert.deepEqual(a.store.failure("a.test"), failure);
  });

  it("there is one account: that of whoever was first", async () => {
    const meeting = new Meeting();
    const [a, b, c] = [router(meeting), router(meeting), router(meeting)];
    assert.equal(await a.store.accountKey(async () => "first"), "first");
    assert.equal(await b.store.accountKey(async () => "second"), "first");
    assert.equal(await b.own.accountKey(async () => "third"), "first");
    await c.own.accountKey(async () => "its own");
    assert.equal(await c.store.accountKey(async () => "fourth"), "first");
  });

  it("one orders at a time, and nobody who can't ask", async () => {
    const meeting = new Meeting();
    const [a, b] = [router(meeting), router(meeting)];
    const turn = await a.store.takeTurn();
    assert.equal(turn?.holds, true);
    assert.equal(await b.store.takeTurn(), null);
    turn?.release();
    const other = await b.store.takeTurn();
    assert.equal(other?.holds, true);
    other?.release();
    meeting.isAway = true;
    assert.equal(await a.store.takeTurn(), null);
    meeting.isAway = false;
    const again = await a.store.takeTurn();
    assert.equal(again?.holds, true, "its own folder's turn was given back");
    again?.release();
  });
});
