import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { noRoom } from "../../src/core/admission.ts";
import { Refusal } from "../../src/errors.ts";
import { Pool } from "../../src/workers/pool.ts";
import { SharedAdmission } from "../../src/workers/shared-admission.ts";

const refused = (error: unknown): boolean => error instanceof Refusal && error.reason === "limit_reached";
const never = (): void => assert.fail("nobody was to be evicted");

/** Two workers, and their primary's pool. */
function two(caps: { connections: number; perSource: number; perIdentity: number }, room = 1000) {
  const pool = new Pool();
  const asked: string[] = [];
  const worker = () => {
    const member = { evict: (holder: number) => admission.evict(holder) };
    const admission = new SharedAdmission(caps, 2, room, {
      take: async (holder, key, cap, evicts) => {
        asked.push(key);
        return pool.take(member, holder, key, cap, evicts);
      },
      established: (holder) => pool.established(member, holder),
      leave: (holder) => pool.leave(member, holder),
    });
    return { member, admission };
  };
  return { pool, asked, a: worker(), b: worker() };
}

describe("caps of several workers", () => {
  it("hold together, to one", async () => {
    const { a, b } = two({ connections: 100, perSource: 100, perIdentity: 3 });
    const places = [];
    for (const { admission } of [a, b, a]) {
      const place = await admission.enter(never);
      await place.enterSource("192.0.2.1");
      place.established();
      await place.enterIdentity("alice");
      places.push(place);
    }
    const late = await b.admission.enter(never);
    late.established();
    await assert.rejects(async () => late.enterIdentity("alice"), refused);
    await late.enterIdentity("bob");
    places[0]?.leave();
    await late.enterIdentity("alice");
  });

  it("are never exceeded, and nobody is asked as long as they are far", async () => {
    const { asked, a, b } = two({ connections: 64, perSource: 1000, perIdentity: 1000 });
    let open = 0;
    const enter = async (admission: SharedAdmission): Promise<boolean> => {
      try {
        (await admission.enter(never)).established();
        open++;
        return true;
      } catch {
        return false;
      }
    };
    for (let i = 0; i < 4; i++) for (const { admission } of [a, b]) assert.ok(await enter(admission));
    assert.equal(asked.length, 0);
    // One of them alone may have all that the other has not taken, but for the other's own part.
    for (let i = 0; i < 100; i++) await enter(a.admission);
    assert.equal(open, 64);
    assert.equal(await enter(b.admission), false);
  });

  it("let the oldest half-open connection of any worker give way, never an established one", async () => {
    const { a, b } = two({ connections: 2, perSource: 2, perIdentity: 2 });
    const evicted: string[] = [];
    const first = await a.admission.enter(({ message }) => evicted.push(message));
    const second = await b.admission.enter(never);
    second.established();
    const third = await b.admission.enter(never);
    assert.deepEqual(evicted, [noRoom.givenWay().message]);
    first.leave();
    third.established();
    await assert.rejects(async () => a.admission.enter(never), refused);
    second.leave();
    await a.admission.enter(never);
  });

  it("of a route hold, too, and what is held ends with its worker", async () => {
    const { pool, a, b } = two({ connections: 100, perSource: 100, perIdentity: 100 });
    for (let i = 0; i < 2; i++) await (await a.admission.enter(never)).enterRoute("db", 2);
    const late = await b.admission.enter(never);
    await assert.rejects(async () => late.enterRoute("db", 2), refused);
    pool.gone(a.member);
    await late.enterRoute("db", 2);
  });

  it("have a worker's own oldest half-open connection give way where the primary knows of none", async () => {
    const { a } = two({ connections: 1000, perSource: 16, perIdentity: 1000 });
    const evicted: string[] = [];
    const enter = async (evict: (refusal: Refusal) => void) => {
      const place = await a.admission.enter(evict);
      await place.enterSource("192.0.2.1");
      return place;
    };
    // Its part of 16 is one.
    await enter(({ message }) => evicted.push(message));
    for (let i = 0; i < 14; i++) (await enter(never)).established();
    const last = await enter(never);
    assert.deepEqual(evicted, [noRoom.givenWay().message]);
    last.established();
    await assert.rejects(enter(never), refused);
  });

  it("of one process have its oldest half-open connection give way", async () => {
    const { a } = two({ connections: 1000, perSource: 1000, perIdentity: 1000 }, 1);
    const evicted: string[] = [];
    await a.admission.enter(({ message }) => evicted.push(message));
    (await a.admission.enter(never)).established();
    assert.deepEqual(evicted, [noRoom.givenWay().message]);
  });

  it("forget who has left, in the worker and in the primary", async () => {
    const { asked, a, b } = two({ connections: 40, perSource: 40, perIdentity: 40 });
    const places = [];
    for (let i = 0; i < 20; i++)
      for (const { admission } of [a, b]) {
        const place = await admission.enter(never);
        places.push(place);
        await place.enterSource("192.0.2.1");
        if (i % 2 === 0) place.established();
        await place.enterIdentity("alice");
        await place.enterRoute("db", 40);
      }
    assert.ok(asked.length > 0);
    for (const place of places) place.leave();
    for (const { admission } of [a, b])
      for (const { groups } of [
        ...[admission.connections, admission.sources, admission.identities, admission.routes],
      ])
        assert.equal(groups.size, 0);
    for (let i = 0; i < 38; i++) await (await a.admission.enter(never)).enterSource("192.0.2.1");
  });

  it("leave no place behind of who was let in by nobody, for the primary was gone", async () => {
    const gone = new Error("the primary process is gone");
    const admission = new SharedAdmission({ connections: 1, perSource: 1, perIdentity: 1 }, 2, 1, {
      take: () => Promise.reject(gone),
      established: never,
      leave: never,
    });
    for (let i = 0; i < 2; i++) await assert.rejects(async () => admission.enter(never), gone);
  });

  it("don't lift what one process may have open", async () => {
    const { a } = two({ connections: 100, perSource: 100, perIdentity: 100 }, 1);
    (await a.admission.enter(never)).established();
    await assert.rejects(async () => a.admission.enter(never), refused);
  });
});
