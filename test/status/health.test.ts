import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Findings, healthOf, type LastDial } from "../../src/status/health.ts";

const dial = (server: string, failure: string | null = null): LastDial => ({ server, at: 0, ms: 1, failure });
const health = (more: Partial<Findings>) =>
  healthOf({ servers: ["a:1"], captures: false, dials: [], states: [], agent: null, ...more });
const state = (more: Partial<Findings>): string => health(more).state;

describe("the health of a route's upstream", () => {
  it("is unknown until somebody asked for it", () => {
    assert.equal(state({}), "unknown");
    assert.equal(state({ servers: ["{x}:1"], captures: true }), "unknown");
  });

  it("is what the last dial found", () => {
    assert.equal(state({ dials: [dial("a:1")] }), "up");
    assert.deepEqual(health({ dials: [dial("a:1", "a:1: connection refused")] }), {
      state: "down",
      detail: "a:1: connection refused",
    });
    assert.equal(health({ dials: [dial("a:1", "timed out")] }).detail, "a:1: timed out");
  });

  it("is degraded where some of several servers fail, down where all do", () => {
    const servers = ["a:1", "b:2"];
    const both = (a: string | null, b: string | null) => ({
      servers,
      dials: [dial("a:1", a), dial("b:2", b)],
    });
    assert.equal(state(both(null, null)), "up");
    assert.equal(state(both("gone", null)), "degraded");
    assert.equal(state(both("gone", "gone")), "down");
    // Of the other one nothing is known.
    assert.equal(state({ servers, dials: [dial("a:1", "gone")] }), "degraded");
    assert.equal(state({ servers, dials: [dial("a:1")] }), "up");
  });

  it("counts servers that requests are kept from", () => {
    const states = [{ server: "a:1", healthy: false, active: 0 }];
    assert.equal(state({ dials: [dial("a:1")], states }), "down");
    assert.equal(state({ servers: ["a:1", "b:2"], dials: [dial("a:1")], states }), "degraded");
  });

  it("is never down by what a client puts into a capture", () => {
    const more = { servers: ["{node}:22"], captures: true };
    assert.equal(state({ ...more, dials: [dial("x:22", "no such name")] }), "degraded");
    assert.equal(state({ ...more, dials: [dial("x:22", "no such name"), dial("y:22")] }), "up");
  });

  it("is down without the agent that it goes by", () =>
    assert.deepEqual(health({ agent: "no agent edge-1 is connected", dials: [dial("a:1")] }), {
      state: "down",
      detail: "no agent edge-1 is connected",
    }));
});
