import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LimitReached } from "../../src/limits/limit-reached.ts";
import { Turnstile } from "../../src/limits/turnstile.ts";

const never = (): void => assert.fail("nobody was to give way");
const refused = (error: unknown): boolean => error instanceof LimitReached && error.limit === "handshakes";

describe("the turnstile for handshakes", () => {
  it("lets everybody through at once as long as nobody is known", () => {
    const turnstile = new Turnstile(1000, () => 0);
    for (let i = 0; i < 500; i++) assert.equal(turnstile.enter("192.0.2.1", never).pass(), undefined);
  });

  it("lets strangers begin in batches, in their order, and known sources past them", async () => {
    const turnstile = new Turnstile(1000);
    turnstile.verified("198.51.100.1");
    const begun: number[] = [];
    const passing: Promise<void>[] = [];
    let atOnce = 0;
    for (let i = 0; i < 100; i++) {
      const turn = turnstile.enter("192.0.2.1", never).pass();
      if (turn === undefined) atOnce++;
      else passing.push(turn.then(() => void begun.push(i)));
    }
    assert.ok(atOnce > 0 && atOnce < 100, `${atOnce} at once`);
    assert.equal(turnstile.enter("198.51.100.1", never).pass(), undefined, "a known source waits for nobody");
    await Promise.all(passing);
    assert.deepEqual(
      begun,
      begun.toSorted((a, b) => a - b),
    );
  });

  it("has the oldest stranger give way whose client has yet to speak", () => {
    const turnstile = new Turnstile(2);
    const gone: string[] = [];
    turnstile.enter("192.0.2.1", () => void gone.push("first"));
    turnstile.enter("192.0.2.2", () => void gone.push("second"));
    turnstile.enter("192.0.2.3", never);
    assert.deepEqual(gone, ["first"]);
  });

  it("turns strangers away where all others wait for their turn, but no known source", async () => {
    let now = 0;
    const turnstile = new Turnstile(3, () => now);
    turnstile.verified("198.51.100.1");
    // The whole first batch is used up.
    for (let i = 0; i < 100; i++) {
      const passage = turnstile.enter("192.0.2.9", never);
      void passage.pass()?.catch(() => {});
      passage.leave();
    }
    const waiting = [1, 2, 3].map((i) => {
      const passage = turnstile.enter(`192.0.2.${i}`, never);
      const turn = passage.pass();
      assert.ok(turn !== undefined);
      return { passage, turn };
    });
    assert.throws(() => turnstile.enter("192.0.2.4", never), refused);
    assert.equal(turnstile.enter("198.51.100.1", never).pass(), undefined);
    const [first] = waiting;
    first?.passage.leave();
    await assert.rejects(first?.turn ?? Promise.resolve(), refused);
    let gone = false;
    turnstile.enter("192.0.2.4", () => {
      gone = true;
    });
    turnstile.enter("198.51.100.1", never);
    assert.ok(!gone);
    now = 2 * 3_600_000;
    turnstile.enter("198.51.100.1", never);
    assert.ok(gone, "after an hour it is one of the crowd");
  });
});
