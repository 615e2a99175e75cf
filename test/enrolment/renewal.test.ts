import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Extension } from "../../src/authority/x509.ts";
import { EnrolmentRefusal } from "../../src/enrolment/refusal.ts";
import {
  checkSameHolder,
  identityIn,
  personOf,
  recordByHand,
  renewableFor,
} from "../../src/enrolment/renewal.ts";
import { der, type Entity, make } from "../support/pki.ts";

const identity = (entity: Entity) => identityIn(entity.cert);
const unfit = (error: unknown): boolean =>
  error instanceof EnrolmentRefusal && error.reason === "client_cert_unfit";

describe("a renewal", () => {
  it("of a certificate without a record counts from its beginning", async () => {
    const [notBefore, notAfter] = [1_790_000_000_000, 1_790_000_060_000];
    const byHand = await make({ notBefore, notAfter });
    const kept = { lifetimeMs: 60_000, renewableUntil: notBefore + 1000, expires: notAfter };
    assert.deepEqual(recordByHand(der(byHand), defaults), kept);
  });

  it("loses no extension on the way", async () => {
    for (const critical of [true, false]) {
      const more = [new Extension("1.3.6.1.4.1.99999.1", critical, Uint8Array.of(5, 0).buffer)];
      const limited = await make({ more });
      assert.throws(() => recordByHand(der(limited), defaults), unfit);
    }
  });

  it("lasts no longer than the first certificate, nor than it can be renewed", () => {
    const first = { lifetimeMs: 3_600_000, renewableUntil: 86_400_000 };
    assert.equal(renewableFor(first, 1000), 3_600_000);
    assert.equal(renewableFor(first, 86_400_000 - 600_000), 600_000);
    assert.throws(() => renewableFor(first, 86_400_000 - 299_999), EnrolmentRefusal);
    assert.throws(() => renewableFor(first, 90_000_000), EnrolmentRefusal);
  });

  it("is for an identity that the authority issues, whole", async () => {
    const person = personOf(await identity(await make({ subject: "O=Example, OU=a, OU=b, CN=alice" })));
    assert.equal(person.commonName, "alice");
    assert.equal(person.organization, "Example");
    assert.deepEqual([...(person.groups ?? [])].sort(), ["a", "b"]);
    for (const subject of ["OU=a", "O=One, O=Two, CN=alice"])
      assert.throws(() => personOf({ ...somebody, ...partsOf(subject) }), unfit, subject);
    const pinned = { ...(await identity(await make({}))), ips: ["10.0.0.1"] };
    assert.throws(() => personOf(pinned), unfit);
  });

  it("is for the same holder", async () => {
    const [alice, again, bob] = await Promise.all(
      [{}, {}, { subject: "CN=bob" }].map(async (recipe) => await identityIn((await make(recipe)).cert)),
    );
    assert.ok(alice !== undefined && again !== undefined && bob !== undefined);
    checkSameHolder(alice, again);
    assert.throws(() => checkSameHolder(alice, bob), EnrolmentRefusal);
    assert.throws(() => checkSameHolder(alice, { ...again, groups: ["admins"] }), EnrolmentRefusal);
    await assert.rejects(identityIn("nothing"), EnrolmentRefusal);
  });
});

const defaults = { lifetimeMs: 60_000, renewalSpanMs: 1000 };
const somebody = await identity(await make({}));
const partsOf = (subject: string) => ({
  commonName: /CN=(\w+)/.exec(subject)?.[1] ?? null,
  organizations: [...subject.matchAll(/O=(\w+)/g)].map(([, name = ""]) => name),
});
