import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { spanOf, stagger } from "../../src/core/stagger.ts";

describe("taking turns", () => {
  it("takes a hundredth of a second for each, as far as there is time", () => {
    assert.equal(spanOf(0, 60_000), 0);
    assert.equal(spanOf(300, 60_000), 3000);
    assert.equal(spanOf(10_000, 60_000), 60_000);
  });

  it("tells everybody once, in order, never all of them at the same moment, and then that it is done", async () => {
    const told: number[] = [];
    const rounds = new Map<number, number>();
    const all = Array.from({ length: 40 }, (_, i) => i);
    await new Promise<void>((resolve) =>
      stagger(
        all,
        200,
        (one) => {
          told.push(one);
          const now = Math.floor(performance.now());
          rounds.set(now, (rounds.get(now) ?? 0) + 1);
        },
        resolve,
      ),
    );
    assert.deepEqual(told, all);
    assert.ok(rounds.size > 1);
  });

  it("tells all of them at once where there is no time", () => {
    const told: string[] = [];
    stagger(
      ["a", "b"],
      0,
      (one) => told.push(one),
      () => told.push("done"),
    );
    stagger([], 5000, assert.fail, () => told.push("nobody"));
    assert.deepEqual(told, ["a", "b", "done", "nobody"]);
  });

  it("can be stopped", async () => {
    const told: number[] = [];
    const stop = stagger([1, 2, 3, 4, 5], 60_000, (one) => told.push(one), assert.fail);
    stop();
    const before = told.length;
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(told.length, before);
    assert.ok(before < 5);
  });
});
