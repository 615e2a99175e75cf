import type { ServerState } from "../upstream/balanced-client.ts";

/** How the last dial of one server went. */
export interface LastDial {
  /** `host:port`, or `agent/service`. */
  readonly server: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  /** How long it took. */
  readonly ms: number;
  /** Why it did not come about; `null`: it did. */
  readonly failure: string | null;
}

/** `unknown`: nobody has asked for it yet. */
export type HealthState = "up" | "degraded" | "down" | "unknown";

export interface Health {
  readonly state: HealthState;
  /** What says so, in words. */
  readonly detail: string;
}

/** What is known of a route's upstream. */
export interface Findings {
  /** Its servers as they are configured. */
  readonly servers: readonly string[];
  /** Whether clients choose the server by a capture: one that can't be reached says little of the others. */
  readonly captures: boolean;
  /** The last dial of each server that was dialled, the most recent at the end. */
  readonly dials: readonly LastDial[];
  /** Of servers that HTTP is spoken with. */
  readonly states: readonly ServerState[];
  /** Why the agent that the route goes by can't serve it; `null`: it can, or there is none. */
  readonly agent: string | null;
}

/** Most failures name the server themselves. */
const why = ({ server, failure }: LastDial): string | null =>
  failure === null || failure.includes(server) ? failure : `${server}: ${failure}`;

const upOrDegraded = (failing: readonly string[], detail: string): Health =>
  failing.length === 0 ? { state: "up", detail } : { state: "degraded", detail: failing.join("; ") };

/** How a route's upstream is doing, as far as clients' connections have found out: nobody else asks. */
export function healthOf({ servers, captures, dials, states, agent }: Findings): Health {
  if (agent !== null) return { state: "down", detail: agent };
  const last = dials.at(-1);
  if (captures) {
    if (last === undefined) return { state: "unknown", detail: "not asked for yet" };
    const failure = why(last);
    return upOrDegraded(failure === null ? [] : [failure], `${last.server} answered`);
  }
  const findings = servers.map((server) => {
    const dial = dials.find((one) => one.server === server);
    const state = states.find((one) => one.server === server);
    const failure = dial === undefined ? null : why(dial);
    if (failure !== null) return failure;
    if (state?.healthy === false) return `${server}: left out after it broke off`;
    return dial === undefined ? null : "";
  });
  const failing = findings.filter((one): one is string => one !== null && one !== "");
  if (failing.length > 0 && failing.length === servers.length)
    return { state: "down", detail: failing.join("; ") };
  if (failing.length === 0 && findings.every((one) => one === null))
    return { state: "unknown", detail: "not asked for yet" };
  return upOrDegraded(failing, servers.length === 1 ? "answers" : "all that were asked answer");
}
