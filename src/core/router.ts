import type { ClientVerifier } from "../identity/verifier.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Connection, Runtime } from "../types.ts";
import type { ClientHello } from "../wire/client-hello.ts";
import type { Cidr } from "../wire/ip.ts";
import { ja4, ja4Key } from "../wire/ja4.ts";
import type { Admission } from "./admission.ts";
import type { Arrival } from "./arrival.ts";
import type { TlsContexts } from "./contexts.ts";
import { LruMap } from "./lru-map.ts";
import type { RouteTable } from "./match.ts";
import type { ConnectionRecord } from "./record.ts";
import type { Route } from "./route.ts";
import type { Adapter } from "./session.ts";
import type { ProxyProtocol } from "./source.ts";
import { Visit } from "./visit.ts";

/** Everything a connection meets on its way; made by the composition root. */
export interface RouterParts {
  readonly runtime: Runtime;
  readonly table: RouteTable;
  readonly adapters: ReadonlyMap<string, Adapter>;
  readonly contexts: TlsContexts;
  readonly verifierFor: (route: Route) => ClientVerifier;
  readonly admission: Admission;
  readonly proxyProtocol: ProxyProtocol;
  /** Networks whose word on who their clients are is taken. */
  readonly forwardedFrom: readonly Cidr[];
  readonly timeouts: {
    readonly handshakeMs: number;
    readonly connectMs: number;
    readonly halfCloseMs: number;
  };
  readonly audit: (record: ConnectionRecord) => void;
  readonly metrics: Metrics;
  readonly log: Log;
}

/** Takes accepted connections through: inspect, match, terminate, verify, authorise, adapter, record. */
export class Router {
  readonly parts: RouterParts;
  readonly #visits = new Set<Visit>();
  readonly #draining = new AbortController();
  readonly #perRoute = new Map<Route, number>();
  readonly #onEmpty: (() => void)[] = [];
  readonly #fingerprints = new LruMap<string, string>(1000);

  constructor(parts: RouterParts) {
    this.parts = parts;
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
      if (this.#visits.size === 0) for (const resolve of this.#onEmpty.splice(0)) resolve();
    }
  }

  /** Counts a connection in on its route. False when the route is full. */
  enterRoute(route: Route): boolean {
    const count = this.#perRoute.get(route) ?? 0;
    if (route.maxConnections !== null && count >= route.maxConnections) return false;
    this.#perRoute.set(route, count + 1);
    this.parts.metrics.active.set(count + 1, route.name);
    return true;
  }

  leaveRoute(route: Route): void {
    const count = (this.#perRoute.get(route) ?? 1) - 1;
    this.#perRoute.set(route, count);
    this.parts.metrics.active.set(count, route.name);
  }

  /** Asks every connection to end in its own time; resolves when none is left. */
  async drain(): Promise<void> {
    this.#draining.abort();
    if (this.#visits.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onEmpty.push(resolve);
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
