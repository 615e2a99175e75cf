import type { Connection } from "../types.ts";
import type { ClientHello } from "../wire/client-hello.ts";
import { ja4, ja4Key } from "../wire/ja4.ts";
import type { Arrival } from "./arrival.ts";
import type { OpeningHere } from "./hello.ts";
import type { LiveConnection, Traffic } from "./live.ts";
import { LruMap } from "./lru-map.ts";
import { RouteTable } from "./match.ts";
import type { Route } from "./route.ts";
import type { RouterParts } from "./router-parts.ts";
import { Visit } from "./visit.ts";

/** For agents to go elsewhere, once nobody else is left. */
const lastAgentsMs = 5000;

/** Takes accepted connections through: inspect, match, terminate, verify, authorise, adapter, record. */
export class Router {
  readonly parts: RouterParts;
  readonly #visits = new Set<Visit>();
  readonly #draining = new AbortController();
  readonly #perRoute = new Map<Route, number>();
  readonly #onLeave: (() => void)[] = [];
  readonly #fingerprints = new LruMap<string, string>(1000);
  readonly #tables = new Map<string, RouteTable>();
  readonly #openings: OpeningHere[] = [];

  constructor(parts: RouterParts) {
    this.parts = parts;
    const { routes } = parts.table;
    for (const adapter of parts.adapters.values()) {
      const served = routes.filter((route) => route.adapter === adapter.name);
      this.#tables.set(adapter.name, new RouteTable(served));
      if (adapter.opening !== undefined && served.length > 0)
        this.#openings.push({ adapter, opening: adapter.opening });
    }
  }

  /** The JA4 of a hello, remembered: clients of one kind send the same lists. */
  fingerprint(hello: ClientHello): string {
    const key = ja4Key(hello);
    const known = key === null ? undefined : this.#fingerprints.get(key);
    if (known !== undefined) return known;
    const fingerprint = ja4(hello, (text) => this.parts.runtime.sha256Hex(text));
    if (key !== null) this.#fingerprints.set(key, fingerprint);
    return fingerprint;
  }

  get open(): number {
    return this.#visits.size;
  }

  /** Connections that are open on each route. */
  get openByRoute(): ReadonlyMap<Route, number> {
    return this.#perRoute;
  }

  /** The newest connections, the last to come first. */
  newest(count: number): readonly LiveConnection[] {
    return [...this.#visits]
      .slice(-count)
      .reverse()
      .map(({ live }) => live);
  }

  /** What the connections that are open have carried so far, by their route; `null`: those that have none yet. */
  traffic(): ReadonlyMap<Route | null, Traffic> {
    const sums = new Map<Route | null, { bytesIn: number; bytesOut: number }>();
    for (const { route, traffic } of this.#visits) {
      const sum = sums.get(route) ?? { bytesIn: 0, bytesOut: 0 };
      sums.set(route, sum);
      sum.bytesIn += traffic.bytesIn;
      sum.bytesOut += traffic.bytesOut;
    }
    return sums;
  }

  get draining(): AbortSignal {
    return this.#draining.signal;
  }

  /** Resolves when the connection is done with; never rejects. */
  async accept(connection: Connection, arrival: Arrival): Promise<void> {
    const visit = new Visit(this, connection, arrival);
    this.#visits.add(visit);
    try {
      await visit.run();
    } finally {
      this.#visits.delete(visit);
      for (const resolve of this.#onLeave.splice(0)) resolve();
    }
  }

  /** The routes of one adapter alone; `null`: of all. */
  tableOf(adapter: string | null): RouteTable {
    if (adapter === null) return this.parts.table;
    const table = this.#tables.get(adapter);
    if (table === undefined) throw new TypeError(`no adapter ${adapter}`);
    return table;
  }

  /** The protocols that may begin in the clear where this connection came in. */
  openingsAt({ own, only }: Arrival): readonly OpeningHere[] {
    const adapter = only ?? own?.adapter;
    if (adapter === undefined) return this.#openings.filter(({ opening }) => opening.begins !== null);
    return this.#openings.filter((one) => one.adapter.name === adapter);
  }

  /** Counts a connection on its route: in with 1, out with -1. */
  countOn(route: Route, by: 1 | -1): void {
    const count = (this.#perRoute.get(route) ?? 0) + by;
    this.#perRoute.set(route, count);
    this.parts.metrics.active.set(count, route.name);
  }

  /**
   * Asks every connection to end in its own time; resolves when none is left. Agents' are no reason to wait for long
   * once they are the last ones, and nobody elsewhere uses them: streams that others keep for later have no user any
   * more.
   */
  async drain(): Promise<void> {
    this.#draining.abort();
    const { agentCount } = this.parts;
    await this.#until(() => this.#visits.size <= agentCount());
    await this.parts.usedElsewhere();
    let late: ReturnType<typeof setTimeout> | undefined;
    const patience = new Promise<void>((resolve) => {
      late = setTimeout(resolve, lastAgentsMs);
    });
    await Promise.race([this.#until(() => this.#visits.size === 0), patience]);
    clearTimeout(late);
  }

  async #until(holds: () => boolean): Promise<void> {
    while (!holds()) {
      await new Promise<void>((resolve) => {
        this.#onLeave.push(resolve);
      });
    }
  }

  /** Ends the connections whose certificates have run out or been revoked since. */
  sweep(now: number): void {
    for (const visit of this.#visits) visit.recheck(now);
  }

  /** Ends what is left, at once. */
  abortAll(): void {
    for (const visit of this.#visits) visit.forceClose();
  }
}
