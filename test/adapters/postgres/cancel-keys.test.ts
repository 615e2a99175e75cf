import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CancelKeys, type Holder } from "../../../src/adapters/postgres/cancel-keys.ts";
import type { CertificateIdentity } from "../../../src/identity/identity.ts";

const identity = (subject: string, key: string): CertificateIdentity => ({
  subject,
  commonName: null,
  organizations: [],
  organizationalUnits: [],
  dnsNames: [],
  emails: [],
  uris: [],
  ips: [],
  spiffe: null,
  groups: [],
  sources: null,
  routes: null,
  serial: "01",
  fingerprint: "",
  keyFingerprint: key,
  expires: "",
});
const route = "a";
const other = "b";
const alice: Holder = { source: "192.0.2.1", route, identity: identity("CN=alice", "k1") };
const clear = (source: string): Holder => ({ source, route: null, identity: null });
const real = { pid: 4711, secret: Uint8Array.of(1, 2, 3, 4) };

function issued(holder: Holder = alice, secret = real.secret) {
  const keys = new CancelKeys(null);
  let cancels = 0;
  const { key, release } = keys.issue({ ...real, secret }, holder, async () => {
    cancels++;
  });
  return { keys, key, release, cancels: () => cancels };
}

describe("keys for cancelling", () => {
  it("are not the server's, and never the same", () => {
    const keys = new CancelKeys(null);
    const seen = new Set<number>();
    for (let i = 0; i < 1000; i++) {
      const { key } = keys.issue(real, alice, async () => {});
      assert.ok(key.pid > 0 && key.pid < 2 ** 31);
      assert.equal(key.secret.length, 4);
      seen.add(key.pid);
    }
    assert.equal(seen.size, 1000);
    assert.equal(
      keys.issue({ pid: 1, secret: new Uint8Array(32) }, alice, async () => {}).key.secret.length,
      32,
    );
  });

  for (const [what, asking, may] of [
    ["the same certificate", alice, true],
    ["the same certificate from elsewhere", { ...alice, source: "198.51.100.1" }, true],
    ["the same names with another key", { ...alice, identity: identity("CN=alice", "k2") }, true],
    ["somebody else", { ...alice, identity: identity("CN=mallory", "k3") }, false],
    ["the same person at another route", { ...alice, route: other }, false],
    ["nobody in particular at the route", { ...alice, identity: null }, false],
    ["the session's address, in the clear", clear("192.0.2.1"), true],
    ["another address, in the clear", clear("192.0.2.2"), false],
  ] as const) {
    it(`are of ${may ? "" : "no "}use to ${what}`, async () => {
      const { keys, key, cancels } = issued();
      assert.equal(await keys.cancel(key, asking, 0), may);
      assert.equal(cancels(), may ? 1 : 0);
    });
  }

  it("of sessions without a certificate are bound to the address", async () => {
    const anonymous: Holder = { ...alice, identity: null };
    const { keys, key } = issued(anonymous);
    assert.equal(await keys.cancel(key, anonymous, 0), true);
    assert.equal(await keys.cancel(key, { ...anonymous, source: "192.0.2.9" }, 0), false);
    assert.equal(await keys.cancel(key, alice, 0), false);
  });

  it("of certificates that name nobody are bound to the key pair", async () => {
    const nameless: Holder = { ...alice, identity: identity("", "k1") };
    const { keys, key } = issued(nameless);
    assert.equal(await keys.cancel(key, { ...alice, identity: identity("", "k2") }, 0), false);
    assert.equal(await keys.cancel(key, nameless, 0), true);
  });

  it("are of no use in part, or once the session is over", async () => {
    const { keys, key, release, cancels } = issued();
    for (const wrong of [
      { ...key, pid: key.pid ^ 1 },
      { ...key, secret: key.secret.map((byte, i) => (i === 3 ? byte ^ 1 : byte)) },
      { ...key, secret: key.secret.subarray(0, 3) },
      { ...key, secret: Uint8Array.of(...key.secret, 0) },
      real,
    ])
      assert.equal(await keys.cancel(wrong, alice, 0), false);
    release();
    assert.equal(await keys.cancel(key, alice, 0), false);
    assert.equal(cancels(), 0);
  });

  it("are not looked at after ten wrong ones, for a minute", async () => {
    const { keys, key } = issued();
    const wrong = { ...key, secret: new Uint8Array(5) };
    for (let i = 0; i < 10; i++) assert.equal(await keys.cancel(wrong, clear("192.0.2.1"), 1000), false);
    assert.equal(await keys.cancel(key, clear("192.0.2.1"), 60_000), false);
    // Others are not the worse for it.
    assert.equal(await keys.cancel(key, alice, 60_000), true);
    assert.equal(await keys.cancel(key, clear("192.0.2.1"), 61_000), true);
  });

  it("are guessed at by a whole IPv6 network as by one", async () => {
    const { keys, key } = issued({ ...alice, source: "2001:db8::1" });
    const wrong = { ...key, pid: key.pid ^ 1 };
    for (let i = 0; i < 10; i++) await keys.cancel(wrong, clear(`2001:db8::${i}`), 0);
    assert.equal(await keys.cancel(key, clear("2001:db8::1"), 0), false);
  });

  it("are used once at a time", async () => {
    const keys = new CancelKeys(null);
    let dials = 0;
    let done = (): void => {};
    const { key } = keys.issue(real, alice, () => {
      dials++;
      return new Promise<void>((resolve) => {
        done = resolve;
      });
    });
    const both = [keys.cancel(key, alice, 0), keys.cancel(key, alice, 0)];
    done();
    assert.deepEqual(await Promise.all(both), [true, true]);
    assert.equal(dials, 1);
  });
});
