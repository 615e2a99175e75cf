import type { LiveConnection } from "../core/live.ts";
import type { AgentInfo } from "../tunnel/agents.ts";
import type { ExpiringCertificate } from "./certificates.ts";
import type { Health } from "./health.ts";
import type { RecentRefusal } from "./recent-refusals.ts";
import type { Sample } from "./throughput.ts";

/** How connections of a route ended since the start, and what they carried, those that are open included. */
export interface RouteTotals {
  readonly served: number;
  readonly refused: number;
  readonly failed: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** One of the routes. */
export interface RouteNow extends RouteTotals {
  readonly name: string;
  /** Connections that are open. */
  readonly open: number;
}

export interface RouteStatus extends RouteNow {
  readonly scheme: string;
  /** Exact names, wildcards and captures as they are configured. */
  readonly names: readonly string[];
  /** Of a listener of its own. */
  readonly port: number | null;
  /** `host:port`, captures and all, with commas between several; empty for the router's own. */
  readonly upstream: string;
  /** `null` for the router's own. */
  readonly health: Health | null;
}

/** What one of a router's processes does, or all of them. */
export interface Doing {
  /** Milliseconds since 1970, as are all times here that are numbers. */
  readonly started: number;
  /** Why it takes no new work; `null`: it does. */
  readonly unready: string | null;
  /** Connections that are open, those without a route among them. */
  readonly open: number;
  /** The newest connections, the last to come first. */
  readonly newest: readonly LiveConnection[];
  /** The most recent first. */
  readonly refusals: readonly RecentRefusal[];
  /** The oldest first. */
  readonly throughput: readonly Sample[];
}

/** What the router does, at one moment. Plain data. */
export interface Snapshot extends Doing {
  readonly at: number;
  readonly version: string;
  /** Such as `node 20.20.2`. */
  readonly runtime: string;
  /** Its processes, and of how many what they know is here; `null` where it is one. */
  readonly workers: { readonly of: number; readonly shown: number } | null;
  readonly routes: readonly RouteStatus[];
  readonly agents: readonly AgentInfo[];
  /** The first to expire first. */
  readonly certificates: readonly ExpiringCertificate[];
}
