import type { ServerState } from "../upstream/balanced-client.ts";
import type { LastDial } from "./health.ts";
import { counted } from "./recent-refusals.ts";
import type { Doing, RouteNow } from "./snapshot.ts";
import type { Sample } from "./throughput.ts";

/** What one process knows of a route. */
export interface RouteHere extends RouteNow {
  /** The last dial of each server that was dialled, the most recent at the end. */
  readonly dials: readonly LastDial[];
  /** Of servers that HTTP is spoken with. */
  readonly states: readonly ServerState[];
}

/** What one of a router's processes knows by itself. Plain data. */
export interface StatusHere extends Doing {
  readonly routes: readonly RouteHere[];
}

/** How much of each list is kept. */
export interface Rooms {
  readonly newest: number;
  readonly refusals: number;
}

/** What several processes know, as one would know it that does the work of all. */
export function together(all: readonly StatusHere[], rooms: Rooms): StatusHere {
  const routes = new Map<string, RouteHere>();
  for (const one of all.flatMap((each) => each.routes)) {
    const other = routes.get(one.name);
    routes.set(one.name, other === undefined ? one : bothRoutes(other, one));
  }
  return {
    started: Math.min(...all.map(({ started }) => started)),
    unready: all.find(({ unready }) => unready !== null)?.unready ?? null,
    open: all.reduce((sum, { open }) => sum + open, 0),
    routes: [...routes.values()],
    newest: all
      .flatMap(({ newest }) => newest)
      .sort((a, b) => b.since - a.since)
      .slice(0, rooms.newest),
    refusals: counted(all.flatMap(({ refusals }) => refusals)).slice(0, rooms.refusals),
    throughput: all.map(({ throughput }) => throughput).reduce(bothThroughputs, []),
  };
}

const bothRoutes = (a: RouteHere, b: RouteHere): RouteHere => ({
  name: a.name,
  open: a.open + b.open,
  served: a.served + b.served,
  refused: a.refused + b.refused,
  failed: a.failed + b.failed,
  bytesIn: a.bytesIn + b.bytesIn,
  bytesOut: a.bytesOut + b.bytesOut,
  dials: lastOfEach([...a.dials, ...b.dials]),
  states: bothStates(a.states, b.states),
});

function lastOfEach(dials: readonly LastDial[]): readonly LastDial[] {
  const last = new Map<string, LastDial>();
  for (const dial of [...dials].sort((a, b) => a.at - b.at)) {
    // Moved to the end: the most recent stands there.
    last.delete(dial.server);
    last.set(dial.server, dial);
  }
  return [...last.values()];
}

/** A server that one process leaves out does not serve all clients. */
function bothStates(a: readonly ServerState[], b: readonly ServerState[]): readonly ServerState[] {
  const states = new Map(a.map((state) => [state.server, state]));
  for (const { server, healthy, active } of b) {
    const other = states.get(server) ?? { healthy: true, active: 0 };
    states.set(server, { server, healthy: healthy && other.healthy, active: active + other.active });
  }
  return [...states.values()];
}

/** Samples are as long everywhere, and the last ones are of about the same moment. */
function bothThroughputs(a: readonly Sample[], b: readonly Sample[]): readonly Sample[] {
  const length = Math.max(a.length, b.length);
  return Array.from({ length }, (_, i) => {
    const [one, other] = [a[a.length - length + i], b[b.length - length + i]];
    return { in: (one?.in ?? 0) + (other?.in ?? 0), out: (one?.out ?? 0) + (other?.out ?? 0) };
  });
}
