import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Door } from "../../src/limits/door.ts";

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** How many come in until it is shut, or a thousand. */
function letIn(door: Door): number {
  let count = 0;
  for (; count < 1000 && !door.shut; count++) door.came();
  return count;
}

describe("the door for strangers", () => {
  it("takes as many at once after a rest as may be under way", () => {
    assert.equal(
      letIn(
        new Door(
          100,
          () => performance.now(),
          () => 0,
          () => false,
        ),
      ),
      100,
    );
  });

  it("forgets the rest where a crowd takes all of a processor, and lets in some all the same", async () => {
    const door = new Door(
      1000,
      () => performance.now(),
      () => performance.now(),
      () => false,
    );
    for (let i = 0; i < 100; i++) door.came();
    await pause(200);
    const count = letIn(door);
    assert.ok(count > 0 && count < 500, `${count} came in`);
  });

  it("does not where they are few, whatever else takes the processor, nor where it has time", async () => {
    const few = new Door(
      500,
      () => performance.now(),
      () => performance.now(),
      () => false,
    );
    for (let i = 0; i < 20; i++) few.came();
    const idle = new Door(
      500,
      () => performance.now(),
      () => 0,
      () => false,
    );
    for (let i = 0; i < 100; i++) idle.came();
    await pause(200);
    assert.ok(letIn(few) > 450);
    assert.ok(letIn(idle) > 400);
  });

  it("bears less of them where known sources come as well", async () => {
    const doors = [false, true].map(
      (knownCome) =>
        new Door(
          1000,
          () => performance.now(),
          () => performance.now() * 0.6,
          () => knownCome,
        ),
    );
    for (const door of doors) for (let i = 0; i < 100; i++) door.came();
    await pause(200);
    const [alone = 0, beside = 0] = doors.map(letIn);
    assert.ok(alone > 800 && beside < 500, `${alone} and ${beside} came in`);
  });
});
