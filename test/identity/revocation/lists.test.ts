import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Profile } from "../../../src/identity/profile.ts";
import { parseCrl } from "../../../src/identity/revocation/crl.ts";
import { type CrlRule, RevocationLists } from "../../../src/identity/revocation/lists.ts";
import {
  basicConstraints,
  dayMs,
  extension,
  type Holder,
  hourMs,
  intermediate,
  keyUsage,
  leaf,
  leafExtensions,
  name,
  newKeys,
  root,
} from "../../support/crafted-certificates.ts";
import {
  type CrlPlan,
  crl,
  crlPoint,
  entry,
  flag,
  otherIssuer,
  pointNamed,
  reasonCode,
  scope,
  unknownExtension,
} from "../../support/crafted-crl.ts";
import { type Bytes, explicit, integer, seq, tlv } from "../../support/der.ts";
import { parsed } from "../../support/paths.ts";

const anchor = root();
const middle = intermediate(anchor);
const serial = "0102030405";
const alice = leaf(middle, { serial });
const bob = leaf(middle, { serial: "0a0b0c" });

function read(der: Bytes) {
  const list = parseCrl(der);
  if ("malformed" in list) throw new Error(list.malformed);
  return list;
}

async function status(
  lists: readonly Bytes[],
  path: readonly Holder[] = [alice, middle, anchor],
  rule: CrlRule = "hard",
  profile?: Profile,
): Promise<string> {
  const known = new RevocationLists(lists.map(read), rule, []);
  const { failure } = await known.check(path.map(parsed), Date.now(), profile);
  return failure === null ? "good" : `${failure.reason}: ${failure.detail}`;
}

const revoked = /^client_cert_revoked: .*revoked by the list of/;
const untold = /^client_cert_untrusted: .*can't be told/;

describe("a revocation list", () => {
  it("revokes whom it lists and nobody else", async () => {
    const list = crl(middle, { revoked: ["7f", serial] });
    assert.match(await status([list]), revoked);
    assert.equal(await status([list], [bob, middle, anchor]), "good");
  });

  it("of version 1 with extensions is none", () => {
    const list = parseCrl(crl(middle, { unversioned: true }));
    assert.ok("malformed" in list && /outside of version 2/.test(list.malformed));
  });

  it("of version 1 will do", async () => {
    assert.match(await status([crl(middle, { version: 1, revoked: [serial] })]), revoked);
  });

  it("of the issuer's issuer revokes the issuer, and with it all below", async () => {
    const authority = intermediate(anchor, { serial: "55" });
    const client = leaf(authority);
    assert.match(
      await status([crl(anchor, { revoked: ["55"] })], [client, authority, anchor]),
      /^client_cert_revoked: CN=Test Intermediate/,
    );
  });

  it("of another issuer revokes nobody here, though the serial number is the same", async () => {
    const other = intermediate(anchor, { subject: name(["CN", "Other"]) });
    assert.equal(await status([crl(other, { revoked: [serial] })]), "good");
  });

  it("that its issuer did not sign says nothing, and is missed", async () => {
    const impostor = intermediate(root(), { subject: middle.name });
    for (const list of [
      crl(impostor, { revoked: [serial] }),
      crl(middle, { tampered: true }),
      crl(middle, { outer: "ecdsa-sha384" }),
    ]) {
      assert.match(await status([list]), untold);
      assert.equal(await status([list], undefined, "soft"), "good");
      // Beside a good one it does no harm.
      assert.equal(await status([list, crl(middle, { thisUpdate: Date.now() - 2 * hourMs })]), "good");
    }
  });

  it("signed with SHA-1 says nothing", async () => {
    const rsa = intermediate(anchor, { keys: newKeys("RSA-2048") });
    const client = leaf(rsa, { signature: "rsa-sha256" });
    const list = crl(rsa, { signature: "rsa-sha1" });
    assert.match(await status([list], [client, rsa, anchor]), untold);
  });

  it("by an authority that may not sign lists says nothing", async () => {
    const mute = intermediate(anchor, { extensions: [basicConstraints(true), keyUsage("keyCertSign")] });
    assert.match(await status([crl(mute)], [leaf(mute), mute, anchor]), /lacks cRLSign/);
  });

  it("that has expired, or is not valid yet, leaves it open", async () => {
    const past = crl(middle, { thisUpdate: Date.now() - 2 * dayMs, nextUpdate: Date.now() - dayMs });
    assert.match(await status([past]), /^client_cert_untrusted: .*expired at/);
    assert.equal(await status([past], undefined, "soft"), "good");
    assert.match(await status([crl(middle, { thisUpdate: Date.now() + hourMs })]), /not valid yet/);
  });

  it("that has expired revokes still, whatever the rule", async () => {
    const past = crl(middle, {
      thisUpdate: Date.now() - 2 * dayMs,
      nextUpdate: Date.now() - dayMs,
      revoked: [serial],
    });
    for (const rule of ["soft", "hard", "all"] as const)
      assert.match(await status([past], undefined, rule), revoked);
  });

  it("without a number is good enough, but not where RFC 5280 is to be kept to the letter", async () => {
    const list = crl(middle, { version: 1 });
    assert.equal(await status([list]), "good");
    for (const profile of ["rfc5280", "webpki"] as const) {
      assert.match(await status([list], undefined, "hard", profile), /has no number \(RFC 5280 §5\.2\.3\)/);
      assert.equal(await status([list], undefined, "soft", profile), "good");
      const listing = crl(middle, { version: 1, revoked: [serial] });
      assert.match(await status([listing], undefined, "soft", profile), revoked);
    }
  });

  it("counts for less than one of the same second with a higher number", async () => {
    const thisUpdate = Date.now() - hourMs;
    const [first, second] = [
      crl(middle, { thisUpdate, number: 9 }),
      crl(middle, { thisUpdate, number: 10, revoked: [serial] }),
    ];
    assert.match(await status([first, second]), revoked);
    assert.match(await status([second, first]), revoked);
  });

  it("counts for less than a newer one", async () => {
    const old = crl(middle, { thisUpdate: Date.now() - 2 * hourMs, revoked: [serial] });
    assert.equal(await status([old, crl(middle)]), "good");
    assert.match(
      await status([
        crl(middle, { thisUpdate: Date.now() - 2 * hourMs }),
        crl(middle, { revoked: [serial] }),
      ]),
      revoked,
    );
  });

  it("is required of everybody by the rule `all`", async () => {
    assert.match(await status([crl(middle)], undefined, "all"), /CN=Test Root has no list/);
    assert.equal(await status([crl(middle), crl(anchor)], undefined, "all"), "good");
    assert.match(await status([], undefined, "all"), untold);
    assert.equal(await status([]), "good");
  });

  it("that was never read is missed", async () => {
    const known = (rule: CrlRule) => new RevocationLists([], rule, ["http://crl.test/a.crl"]);
    const path = [alice, middle, anchor].map(parsed);
    assert.match((await known("hard").check(path, 0)).failure?.detail ?? "", /a\.crl was never read/);
    assert.equal((await known("soft").check(path, 0)).failure, null);
  });

  it("need not be looked at again before its end", async () => {
    const nextUpdate = Math.floor(Date.now() / 1000) * 1000 + hourMs;
    const known = new RevocationLists([read(crl(middle, { nextUpdate }))], "hard", []);
    const { until } = await known.check([alice, middle, anchor].map(parsed), Date.now());
    assert.equal(until, nextUpdate + 999);
  });
});

describe("lists from elsewhere", () => {
  it("of issuers that nobody knows are not taken to say that this one revoked nobody", async () => {
    const foreign = read(crl(root({ subject: name(["CN", "Foreign"]) })));
    const own = read(crl(middle));
    const path = [alice, middle, anchor].map(parsed);
    const check = async (fetched: readonly (typeof own)[], rule: CrlRule) =>
      (await new RevocationLists(fetched, rule, [], [fetched]).check(path, Date.now())).failure?.reason;
    assert.equal(await check([foreign], "hard"), "client_cert_untrusted");
    assert.equal(await check([foreign], "soft"), undefined);
    assert.equal(await check([own, foreign], "hard"), undefined);
  });

  it("without end do no harm", () => {
    const crowd = new Uint8Array(2_000_000).map((_, i) => (i % 2 === 0 ? 5 : 0));
    for (const der of [tlv(0x30, crowd), seq(tlv(0x30, crowd)), seq(tlv(0x30, tlv(0x30, crowd)))])
      assert.ok("malformed" in parseCrl(der));
  });

  it("of a hundred thousand entries are read", () => {
    const one = (serial: string) => entry(serial);
    const chunk = Buffer.concat(Array.from({ length: 1000 }, (_, i) => one((0x100000 + i).toString(16))));
    const many = Buffer.concat(Array.from({ length: 100 }, () => chunk));
    const list = read(crl(middle, { entries: many }));
    assert.equal(list.revoked.size, 1000);
  });
});

describe("the scope of a list", () => {
  const point = "http://crl.test/a.crl";
  const pointed = leaf(middle, { serial, extensions: [...leafExtensions, crlPoint(point)] });
  const scoped = (...parts: readonly Bytes[]): CrlPlan => ({ revoked: [serial], more: [scope(...parts)] });

  it("is holders, or authorities, or both", async () => {
    assert.match(await status([crl(middle, scoped(flag(1)))]), revoked);
    // Its issuer has a list, and none about it: nobody can tell.
    assert.match(await status([crl(middle, scoped(flag(2)))]), /can't be told: no list of .* is about it/);
    assert.equal(await status([crl(middle, scoped(flag(2)))], undefined, "soft"), "good");
    const authority = intermediate(anchor, { serial });
    const path = [leaf(authority), authority, anchor];
    assert.match(await status([crl(anchor, scoped(flag(2)))], path), revoked);
    assert.match(await status([crl(anchor, scoped(flag(1)))], path), untold);
    assert.equal(await status([crl(anchor, scoped(flag(1))), crl(anchor)], path), "good");
  });

  it("is the certificates that name its distribution point", async () => {
    const list = crl(middle, scoped(pointNamed(point)));
    assert.match(await status([list], [pointed, middle, anchor]), revoked);
    assert.match(await status([list]), untold);
    const elsewhere = crl(middle, scoped(pointNamed("http://crl.test/b.crl")));
    assert.match(await status([elsewhere], [pointed, middle, anchor]), untold);
    assert.equal(await status([elsewhere, crl(middle)], [pointed, middle, anchor]), "good");
  });
});

describe("a list that can't be used says why", () => {
  const cases: Readonly<Record<string, readonly [CrlPlan, RegExp]>> = {
    "no end": [{ nextUpdate: null }, /when it ends \(RFC 5280 §5\.1\.2\.5\)/],
    "a delta": [{ more: [extension("2.5.29.27", integer("01"), true)] }, /a delta/],
    "an unknown critical extension": [{ more: [unknownExtension(true)] }, /critical extension.*§5\.2/],
    "an indirect list": [{ more: [scope(flag(4))] }, /an indirect list/],
    "an indirect entry": [{ revoked: [entry("01", otherIssuer(name(["CN", "x"])))] }, /indirect lists/],
    "attributes alone": [{ more: [scope(flag(5))] }, /attribute certificates/],
    "some reasons alone": [{ more: [scope(tlv(0x83, [6, 0x40]))] }, /some reasons/],
    "a relative name": [{ more: [scope(explicit(0, tlv(0xa1)))] }, /relative name/],
    "holders alone and authorities alone": [{ more: [scope(flag(1), flag(2))] }, /issuingDistributionPoint/],
    "an entry to be removed": [{ revoked: [entry("01", reasonCode(8))] }, /to be removed/],
    "an entry with an unknown critical extension": [
      { revoked: [entry("01", unknownExtension(true))] },
      /an entry with a critical extension/,
    ],
  };
  for (const [what, [plan, detail]] of Object.entries(cases)) {
    it(what, () => {
      const list = parseCrl(crl(middle, plan));
      assert.ok("malformed" in list);
      assert.match(list.malformed, detail);
    });
  }

  it("a critical number, where one that is not critical is read", () => {
    const list = parseCrl(crl(middle, { number: 7 }));
    assert.ok(!("malformed" in list));
    assert.equal(list.number, "07");
    assert.ok("malformed" in parseCrl(crl(middle, { criticalNumber: true })));
  });

  it("whatever it is cut or turned into", () => {
    const good = crl(middle, { revoked: [serial, "01", "02"], more: [scope(flag(1))] });
    for (let i = 0; i < good.length; i++) {
      parseCrl(good.subarray(0, i));
      const turned = Uint8Array.from(good);
      turned[i] = (turned[i] ?? 0) ^ (1 << (i % 8));
      parseCrl(turned);
    }
  });

  it("entries that say nothing critical are read", async () => {
    const list = crl(middle, { revoked: [entry(serial, reasonCode(1), unknownExtension(false))] });
    assert.match(await status([list]), revoked);
  });
});
