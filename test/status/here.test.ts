import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { LiveConnection } from "../../src/core/live.ts";
import type { LastDial } from "../../src/status/health.ts";
import { type RouteHere, type StatusHere, together } from "../../src/status/here.ts";
import type { RecentRefusal } from "../../src/status/recent-refusals.ts";

const rooms = { newest: 3, refusals: 2 };
const traffic = { bytesIn: 10, bytesOut: 20 };
const idle: StatusHere = {
  started: 5,
  unready: null,
  open: 0,
  routes: [],
  newest: [],
  refusals: [],
  throughput: [],
};
const route = (more: Partial<RouteHere>): RouteHere => ({
  ...{ name: "orders", open: 1, served: 2, refused: 3, failed: 4, dials: [], states: [], ...traffic },
  ...more,
});
const live = (since: number): LiveConnection => ({
  ...{ id: String(since), since, route: null, source: "", sni: null, subject: null, ...traffic },
});
const refusal = (minute: number, source: string, count: number): RecentRefusal => ({
  ...{ outcome: "refused", reason: "unknown_name", time: `2026-11-28T00:0${minute}:00.000Z`, count },
  ...{ source, sni: "a.test", route: null, subject: null, detail: `at ${minute}` },
});
const dial = (server: string, at: number, failure: string | null): LastDial => ({
  ...{ server, at, ms: 1, failure },
});

describe("what several processes know", () => {
  it("is what the one knows where there is one", () => {
    const one = { ...idle, open: 1, routes: [route({})], newest: [live(1)], throughput: [{ in: 1, out: 2 }] };
    assert.deepEqual(together([one], rooms), one);
  });

  it("is added up, route by route, of routes that one alone knows as well", () => {
    const all = together(
      [
        { ...idle, started: 9, open: 2, routes: [route({}), route({ name: "new" })] },
        { ...idle, started: 7, open: 3, routes: [route({ open: 5 })], unready: "draining" },
      ],
      rooms,
    );
    assert.deepEqual([all.started, all.open, all.unready], [7, 5, "draining"]);
    assert.deepEqual(all.routes, [
      route({ open: 6, served: 4, refused: 6, failed: 8, bytesIn: 20, bytesOut: 40 }),
      route({ name: "new" }),
    ]);
  });

  it("says of each server how the last dial of any went, and that one leaves it out", () => {
    const { routes } = together(
      [
        {
          ...idle,
          routes: [
            route({
              dials: [dial("b", 1, null), dial("a", 4, null)],
              states: [
                { server: "a", healthy: true, active: 1 },
                { server: "b", healthy: false, active: 0 },
              ],
            }),
          ],
        },
        {
          ...idle,
          routes: [
            route({
              dials: [dial("a", 2, "refused"), dial("b", 3, "refused")],
              states: [
                { server: "b", healthy: true, active: 2 },
                { server: "c", healthy: true, active: 3 },
              ],
            }),
          ],
        },
      ],
      rooms,
    );
    assert.deepEqual(routes[0]?.dials, [dial("b", 3, "refused"), dial("a", 4, null)]);
    assert.deepEqual(routes[0]?.states, [
      { server: "a", healthy: true, active: 1 },
      { server: "b", healthy: false, active: 2 },
      { server: "c", healthy: true, active: 3 },
    ]);
  });

  it("has the newest connections of all, as many as there is room for", () => {
    const { newest } = together(
      [
        { ...idle, newest: [live(9), live(2)] },
        { ...idle, newest: [live(7), live(5)] },
      ],
      rooms,
    );
    assert.deepEqual(
      newest.map(({ since }) => since),
      [9, 7, 5],
    );
  });

  it("counts the same refusals together, with the last one's words", () => {
    const { refusals } = together(
      [
        { ...idle, refusals: [refusal(4, "192.0.2.1:1", 2), refusal(1, "192.0.2.3:1", 1)] },
        { ...idle, refusals: [refusal(5, "192.0.2.1:2", 3), refusal(2, "192.0.2.2:1", 1)] },
      ],
      rooms,
    );
    assert.deepEqual(refusals, [refusal(5, "192.0.2.1:2", 5), refusal(2, "192.0.2.2:1", 1)]);
  });

  it("has a throughput whose last samples are of the same moment, however long each has run", () => {
    const { throughput } = together(
      [
        { ...idle, throughput: [{ in: 1, out: 1 }] },
        {
          ...idle,
          throughput: [
            { in: 10, out: 20 },
            { in: 30, out: 40 },
          ],
        },
      ],
      rooms,
    );
    assert.deepEqual(throughput, [
      { in: 10, out: 20 },
      { in: 31, out: 41 },
    ]);
  });
});
