import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { deadline } from "../../src/core/deadline.ts";

describe("a deadline", () => {
  it("fires once, unless it was cancelled or starts again: before, or by one that is due with it", async () => {
    const fired: string[] = [];
    const cancelled = deadline(1, () => fired.push("cancelled"));
    const twice = deadline(1, () => fired.push("twice"));
    deadline(1, () => {
      fired.push("first");
      second.cancel();
      again.restart(1);
      // One that is started meanwhile has its time before it.
      deadline(1, () => done());
    });
    const second = deadline(1, () => fired.push("second"));
    const again = deadline(1, () => fired.push("again"));
    const third = deadline(1, () => {
      fired.push("third");
      third.cancel();
    });
    const far = deadline(3_600_000, () => fired.push("far"));
    cancelled.cancel();
    twice.cancel();
    twice.cancel();
    let done = (): void => {};
    const all = new Promise<void>((resolve) => {
      done = () => {
        fired.push("last");
        resolve();
      };
    });
    await all;
    far.cancel();
    assert.deepEqual(fired, ["first", "third", "again", "last"]);
  });

  it("is never early", async () => {
    const started = performance.now();
    await new Promise<void>((resolve) => deadline(300, resolve));
    assert.ok(performance.now() - started >= 300);
  });

  it("is not early either where the process was held up before it was started", async () => {
    const earlier = deadline(60_000, () => {});
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
    const started = performance.now();
    await new Promise<void>((resolve) => deadline(600, resolve));
    assert.ok(performance.now() - started >= 600);
    earlier.cancel();
  });
});
