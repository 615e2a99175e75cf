import type { Counter, Metrics } from "../observe/metrics.ts";
import type { Route } from "./route.ts";

/** Open connections on all routes of one name: that outlives a route as it stands. */
export interface OpenByName {
  open: number;
}

/**
 * What is counted of the connections on one route as it stands. Each connection finds it once: counters that are looked
 * up by their labels several times for every connection cost more than the rest of counting.
 */
export class RouteCounts {
  readonly route: Route;
  /** Connections that are open on the route as it stands. */
  open = 0;
  readonly #named: OpenByName;
  readonly #metrics: Metrics;
  // Made when there is something to count: a metric says nothing of what has not happened.
  #active: Counter | undefined;
  #served: Counter | undefined;
  #bytesIn: Counter | undefined;
  #bytesOut: Counter | undefined;

  constructor(route: Route, named: OpenByName, metrics: Metrics) {
    this.route = route;
    this.#named = named;
    this.#metrics = metrics;
  }

  /** In with 1, out with -1. */
  count(by: 1 | -1): void {
    this.open += by;
    this.#named.open += by;
    this.#active ??= this.#metrics.active.of(this.route.name);
    this.#active.value = this.#named.open;
  }

  /** One was served to its end. */
  served(): void {
    this.#served ??= this.#metrics.connections.of(this.route.name, "served", "ok");
    this.#served.value++;
  }

  /** More was carried. */
  carried(bytesIn: number, bytesOut: number): void {
    this.#bytesIn ??= this.#metrics.bytes.of(this.route.name, "in");
    this.#bytesOut ??= this.#metrics.bytes.of(this.route.name, "out");
    this.#bytesIn.value += bytesIn;
    this.#bytesOut.value += bytesOut;
  }
}
