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

  it("don't lift what one process may have open", async () => {
    const { a } = two({ connections: 100, perSource: 100, perIdentity: 100 }, 1);
    (await a.admission.enter(never)).established();
    await assert.rejects(async () => a.admission.enter(never), refused);
  });
});
