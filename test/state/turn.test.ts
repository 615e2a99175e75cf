import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type SharedState, StateAway } from "../../src/state/state.ts";
import { takeSharedTurn } from "../../src/state/turn.ts";
import { settled } from "../support/state.ts";

/** A state that one router asks for a place, whose answers the test gives. */
function state(leaseMs: number) {
  const said = { granted: 1, isAway: false, asked: 0, freed: 0 };
  const lease = async (_key: string, has: () => number, places: number, cap: number): Promise<number> => {
    said.asked++;
    assert.deepEqual([has(), places, cap], [0, 1, 1]);
    if (said.isAway) throw new StateAway("away");
    return said.granted;
  };
  const hold = async (): Promise<void> => void said.freed++;
  return { said, shared: { lease, hold, leaseMs } as unknown as SharedState };
}

describe("a turn among routers", () => {
  it("lasts as long as it is asked for anew, and is given back", async () => {
    const { said, shared } = state(3000);
    const turn = await takeSharedTurn(shared, "order");
    assert.equal(turn?.holds, true);
    await settled(() => said.asked > 1);
    assert.equal(turn?.holds, true);
    turn?.release();
    assert.deepEqual([turn?.holds, said.freed], [false, 1]);
  });

  it("is nobody's who was granted none, or can't ask", async () => {
    const { said, shared } = state(30_000);
    said.granted = 0;
    assert.equal(await takeSharedTurn(shared, "order"), null);
    said.isAway = true;
    assert.equal(await takeSharedTurn(shared, "order"), null);
    assert.equal(said.freed, 0);
  });

  it("is over once another has it, and is not taken from that one", async () => {
    const { said, shared } = state(60);
    const turn = await takeSharedTurn(shared, "order");
    said.granted = 0;
    await settled(() => turn?.holds === false);
    said.granted = 1;
    await new Promise((resolve) => setTimeout(resolve, 60));
    assert.equal(turn?.holds, false);
    turn?.release();
    assert.equal(said.freed, 0);
  });

  it("is over when nobody could be asked for as long as it lasts", async () => {
    const { said, shared } = state(60);
    const turn = await takeSharedTurn(shared, "order");
    said.isAway = true;
    await settled(() => turn?.holds === false);
    turn?.release();
    assert.equal(said.freed, 0);
  });
});
