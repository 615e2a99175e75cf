import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Door } from "../../src/limits/door.ts";

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** @param part of a processor that the process takes */
const doorOf = (room: number, part: number, knownCome = false): Door =>
  new Door(
    room,
    () => performance.now(),
    () => performance.now() * part,
    () => knownCome,
  );

const come = (door: Door, count: number): void => {
  for (let i = 0; i < count; i++) {
    door.knocked();
    door.came();
  }
};

/** How many come in until it is shut, or a thousand. */
function letIn(door: Door): number {
  let count = 0;
  for (; count < 1000 && !door.shut; count++) door.came();
  return count;
}

describe("the door for strangers", () => {
  it("takes as many at once after a rest as may be under way", () => {
    assert.equal(letIn(doorOf(100, 0)), 100);
  });

  it("forgets the rest where a crowd takes all of a processor, and lets in some all the same", async () => {
    const door = doorOf(1000, 1);
    come(door, 100);
    await pause(200);
    const count = letIn(door);
    assert.ok(count > 0 && count < 500, `${count} came in`);
  });

  it("does not where they are few, whatever else takes the processor, nor where it has time", async () => {
    const few = doorOf(500, 1);
    come(few, 20);
    const idle = doorOf(500, 0);
    come(idle, 100);
    await pause(200);
    assert.ok(letIn(few) > 450);
    assert.ok(letIn(idle) > 400);
  });

  it("bears less of them where known sources come as well", async () => {
    const doors = [false, true].map((knownCome) => doorOf(1000, 0.6, knownCome));
    for (const door of doors) come(door, 100);
    await pause(200);
    const [alone = 0, beside = 0] = doors.map(letIn);
    assert.ok(alone > 800 && beside < 500, `${alone} and ${beside} came in`);
  });

  it("counts those in that were turned away, and bears any that are no crowd on a busy processor", async () => {
    const [crowded, busy] = [0, 1].map(() => doorOf(1000, 1, true)) as [Door, Door];
    for (const door of [crowded, busy]) while (!door.shut) door.came();
    for (let turn = 0; turn < 20; turn++) {
      for (let i = 0; i < 100; i++) crowded.knocked();
      await pause(10);
    }
    const [few, many] = [letIn(crowded), letIn(busy)];
    assert.ok(few > 0 && few < many / 2, `${few} and ${many} came in`);
  });
});
