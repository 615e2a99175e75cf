import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LimitReached } from "../../src/limits/limit-reached.ts";
import { Turnstile } from "../../src/limits/turnstile.ts";

const never = (): void => assert.fail("nobody was to give way");
const refused = (error: unknown): boolean => error instanceof LimitReached && error.limit === "handshakes";
const known = "198.51.100.1";

/** Strangers who have said hello, and when each could begin. */
function crowd(
  turnstile: Turnstile,
  count: number,
): { readonly begun: number[]; readonly all: Promise<unknown> } {
  const begun: number[] = [];
  const passing = Array.from({ length: count }, async (_, i) => {
    await turnstile.enter("192.0.2.1", never).pass();
    begun.push(i);
  });
  return { begun, all: Promise.all(passing) };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("the turnstile for handshakes", () => {
  it("lets everybody through at once as long as nobody is known", () => {
    const turnstile = new Turnstile(1000);
    for (let i = 0; i < 500; i++) {
      assert.ok(!turnstile.turnsAway("192.0.2.1"));
      assert.equal(turnstile.enter("192.0.2.1", never).pass(), undefined);
    }
  });

  it("lets strangers begin in their order, everybody else between two of them, and known sources past them", async () => {
    const turnstile = new Turnstile(1000);
    turnstile.verified(known);
    const { begun, all } = crowd(turnstile, 50);
    assert.equal(turnstile.enter(known, never).pass(), undefined, "a known source waits for nobody");
    let turns = 0;
    while (begun.length < 50) {
      await turn();
      turns++;
    }
    await all;
    assert.deepEqual(
      begun,
      begun.toSorted((a, b) => a - b),
    );
    assert.ok(turns >= 50, `${turns} turns`);
  });

  it("lets some begin whatever else there is to do", async () => {
    const turnstile = new Turnstile(1000);
    turnstile.verified(known);
    turnstile.enter(known, never);
    const { begun } = crowd(turnstile, 100);
    const busy = (): void => {
      for (const until = performance.now() + 20; performance.now() < until; );
      if (begun.length < 100) setImmediate(busy);
    };
    const started = performance.now();
    busy();
    while (begun.length < 40) await turn();
    // 200 a second, and each turn takes so long that one a turn would be fewer than 50.
    const ms = performance.now() - started;
    assert.ok(begun.length / ms > 0.1, `${begun.length} in ${ms} ms`);
    while (begun.length < 100) await turn();
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
    const turnstile = new Turnstile(3);
    turnstile.verified(known);
    // It begins at once, and the next has to wait.
    turnstile.enter("192.0.2.9", never).pass();
    const waiting = [1, 2].map((i) => {
      const passage = turnstile.enter(`192.0.2.${i}`, never);
      const turn = passage.pass();
      assert.ok(turn !== undefined);
      return { passage, turn };
    });
    assert.throws(() => turnstile.enter("192.0.2.4", never), refused);
    assert.ok(turnstile.turnsAway("192.0.2.4"));
    assert.ok(!turnstile.turnsAway(known));
    assert.equal(turnstile.enter(known, never).pass(), undefined);
    for (const { passage } of waiting) passage.leave();
    for (const { turn } of waiting) await assert.rejects(turn, refused);
  });

  it("takes a crowd in as far as there is room, and then as it goes", async () => {
    const turnstile = new Turnstile(100);
    turnstile.verified(known);
    let came = 0;
    let gone = 0;
    const come = (): void => {
      for (; !turnstile.turnsAway("192.0.2.1"); came++) turnstile.enter("192.0.2.1", () => void gone++);
    };
    come();
    assert.equal(came, 100, "as many as may be under way");
    assert.throws(() => turnstile.enter("192.0.2.1", never), refused);
    assert.equal(turnstile.enter(known, never).pass(), undefined);
    while (came < 150) {
      await turn();
      come();
    }
    assert.equal(gone, came - 100, "each for an older one");
  });

  it("does not know a source any more after an hour", () => {
    let now = 0;
    const turnstile = new Turnstile(
      1,
      () => 0,
      () => now,
    );
    turnstile.verified(known);
    now = 3_599_000;
    turnstile.enter(known, never);
    let gone = false;
    now = 3_601_000;
    turnstile.enter(known, () => {
      gone = true;
    });
    assert.throws(() => turnstile.enter(known, never), refused, "it came in as one of the crowd");
    assert.ok(!gone);
    // And with that the crowd has dispersed.
    now += 3_600_000;
  });
});
