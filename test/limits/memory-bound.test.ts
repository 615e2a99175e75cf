import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { LimitReached } from "../../src/limits/limit-reached.ts";
import { MemoryBound } from "../../src/limits/memory-bound.ts";
import { boundOf } from "../../src/memory-bound.ts";
import { collectGarbage, memoryToHave, residentMemory } from "../../src/runtime/memory.ts";

const bounds: MemoryBound[] = [];
after(() => {
  for (const bound of bounds) bound.stop();
});

function watched(state: { has: number; open: number; frees?: number }) {
  const told: boolean[] = [];
  let collected = 0;
  const bound = new MemoryBound({
    bytes: 1000,
    resident: () => state.has,
    collect: () => {
      collected++;
      state.has -= state.frees ?? 0;
    },
    open: () => state.open,
    told: (reached) => told.push(reached),
  });
  bounds.push(bound);
  return { bound, told, collected: () => collected };
}

describe("the bound on memory", () => {
  it("refuses once it is reached, and no more when it is well below again", () => {
    const state = { has: 999, open: 100 };
    const { bound, told } = watched(state);
    bound.look(0);
    assert.equal(bound.refusal(true), null);
    state.has = 1000;
    bound.look(250);
    assert.equal(bound.refusal(true), null, "what nobody needs is still to go");
    bound.look(500);
    const refusal: unknown = bound.refusal(true);
    assert.ok(refusal instanceof LimitReached);
    assert.deepEqual([refusal.reason, refusal.limit], ["limit_reached", "memory"]);
    state.has = 960;
    bound.look(750);
    assert.notEqual(bound.refusal(true), null, "not well below");
    state.has = 949;
    bound.look(1000);
    assert.equal(bound.refusal(true), null);
    assert.deepEqual(told, [true, false]);
  });

  it("has what nobody needs looked for first, and not all the time", () => {
    const state = { has: 1100, open: 100, frees: 200 };
    const { bound, told, collected } = watched(state);
    bound.look(0);
    bound.look(250);
    assert.equal(bound.refusal(true), null, "that was enough");
    assert.deepEqual(told, []);
    state.frees = 0;
    state.has = 1100;
    for (let ms = 250; ms < 10_000; ms += 250) bound.look(ms);
    assert.equal(collected(), 1);
    assert.notEqual(bound.refusal(true), null);
    bound.look(10_000);
    assert.equal(collected(), 2);
    assert.deepEqual(told, [true]);
  });

  it("refuses nobody while too few are open to be what has it", () => {
    const state = { has: 2000, open: 15 };
    const { bound } = watched(state);
    bound.look(0);
    bound.look(250);
    assert.equal(bound.refusal(true), null);
    state.open = 16;
    assert.equal(bound.refusal(false), null, "the sixteenth itself");
    assert.notEqual(bound.refusal(true), null);
  });

  it("is divided among processes, and not so small that nobody asked for it", () => {
    const mebibyte = 1024 ** 2;
    assert.equal(boundOf(2048 * mebibyte, 4, 1024 * mebibyte), 512 * mebibyte);
    assert.equal(boundOf("auto", 2, 4000 * mebibyte), 1600 * mebibyte);
    assert.equal(boundOf("auto", 8, 1024 * mebibyte), 256 * mebibyte);
    assert.equal(boundOf(64 * mebibyte, 2, 4000 * mebibyte), 32 * mebibyte);
  });

  it("is measured by this runtime, which can look for what nobody needs", () => {
    const has = residentMemory();
    assert.ok(has > 8 * 2 ** 20 && has < memoryToHave(), `${has}`);
    assert.ok(memoryToHave() > 2 ** 28 && memoryToHave() < 2 ** 50, `${memoryToHave()}`);
    const kept = new WeakRef({});
    collectGarbage();
    assert.ok(kept.deref() === undefined || typeof kept.deref() === "object");
  });
});
