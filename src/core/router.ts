import { Gone } from "../http/cancellation.ts";
import type { Cancellation } from "../http/exchange.ts";
import type { Connection, Endpoint } from "../types.ts";
import type { ClientHello } from "../wire/client-hello.ts";
import { isAlike, ja4, ja4Key } from "../wire/ja4.ts";
import type { Arrival } from "./arrival.ts";
import { Generation } from "./generation.ts";
import type { LiveConnection, Traffic } from "./live.ts";
import { LruMap } from "./lru-map.ts";
import { Ring } from "./ring.ts";
import type { Route } from "./route.ts";
import { type OpenByName, RouteCounts } from "./route-counts.ts";
import type { RouterParts } from "./router-parts.ts";
import { standsForOthers } from "./source.ts";
import { spanOf, stagger } from "./stagger.ts";
import { recordTurnedAway } from "./turned-away.ts";
import { Visit } from "./visit.ts";

/** For agents to go elsewhere, once nobody else is left. */
const lastAgentsMs = 5000;

/** Takes accepted connections through: inspect, match, terminate, verify, authorise, adapter, record. */
export class Router {
  #current: Generation;
  /** Those before, as long as connections are open that came under them. */
  readonly #former = new Set<Generation>();
  readonly #visits = new Ring<Visit>();
  #open = 0;
  readonly #draining = new Gone();
  /** Everybody was asked to leave: whoever still comes is asked at once. */
  #asked = false;
  /** Puts an end to what goes through the connections one by one. */
  #stopTurns = (): void => {};
  /** By the route as it stood when connections came. */
  readonly #counts = new Map<Route, RouteCounts>();
  readonly #perName = new Map<string, OpenByName>();
  readonly #onLeave: (() => void)[] = [];
  readonly #fingerprints = new LruMap<string, string>(1000);
  #last: { readonly hello: ClientHello; readonly fingerprint: string } | undefined;
  readonly #outOfUse: () => void;

  /** @param outOfUse routes that were replaced have no connection any more */
  constructor(parts: RouterParts, outOfUse: () => void = () => {}) {
    this.#current = new Generation(parts);
    this.#outOfUse = outOfUse;
  }

  get parts(): RouterParts {
    return this.#current.parts;
  }

  /** From here on connections are taken by these parts; those that are open stay with what they came under. */
  replace(parts: RouterParts): void {
    const before = this.#current;
    this.#current = new Generation(parts);
    if (before.open > 0) this.#former.add(before);
    for (const route of this.#counts.keys()) if (!this.isInUse(route)) this.#counts.delete(route);
    this.#outOfUse();
  }

  /** Whether a new connection may come to the route as it stands here, or one that is open is on it. */
  isInUse(route: Route): boolean {
    return this.#current.has(route) || (this.#counts.get(route)?.open ?? 0) > 0;
  }

  /** The routes that connections may be on, or may get to. */
  routesInReach(): readonly Route[] {
    return [this.#current, ...this.#former].flatMap(({ parts }) => parts.table.routes);
  }

  /** The route of that name now. */
  routeNamed(name: string): Route {
    const route = this.parts.table.routes.find((one) => one.name === name);
    if (route === undefined) throw new TypeError(`no route ${name}`);
    return route;
  }

  /** The JA4 of a hello, remembered: clients of one kind send the same lists. */
  fingerprint(hello: ClientHello): string {
    // The kind that came last most often comes next: no text is made to look it up.
    if (this.#last !== undefined && isAlike(hello, this.#last.hello)) return this.#last.fingerprint;
    const key = ja4Key(hello);
    let fingerprint = key === null ? undefined : this.#fingerprints.get(key);
    if (fingerprint === undefined) {
      fingerprint = ja4(hello, (text) => this.parts.runtime.sha256Hex(text));
      if (key !== null) this.#fingerprints.set(key, fingerprint);
    }
    this.#last = { hello, fingerprint };
    return fingerprint;
  }

  get open(): number {
    return this.#open;
  }

  /** Connections that are open on the routes of that name. */
  openOn(name: string): number {
    return this.#perName.get(name)?.open ?? 0;
  }

  /** The newest connections, the last to come first. */
  newest(count: number): readonly LiveConnection[] {
    return this.#visits
      .values()
      .slice(-count)
      .reverse()
      .map(({ live }) => live);
  }

  /** What the connections that are open have carried so far, by their route's name; `null`: those that have none yet. */
  traffic(): ReadonlyMap<string | null, Traffic> {
    const sums = new Map<string | null, { bytesIn: number; bytesOut: number }>();
    for (const { route, traffic } of this.#visits.values()) {
      const sum = sums.get(route?.name ?? null) ?? { bytesIn: 0, bytesOut: 0 };
      sums.set(route?.name ?? null, sum);
      sum.bytesIn += traffic.bytesIn;
      sum.bytesOut += traffic.bytesOut;
    }
    return sums;
  }

  /** Has the metrics count what open connections carried so far. */
  countTraffic(): void {
    for (const visit of this.#visits.values()) visit.countTraffic();
  }

  get draining(): Cancellation {
    return this.#draining;
  }

  /**
   * Whether a connection from there is to be accepted at all. Where it is not, it is recorded here: nobody needs to look at
   * it any more.
   */
  mayCome(remote: Endpoint, listener: string): boolean {
    const { parts } = this;
    const refusal = standsForOthers(remote, parts) ? null : parts.limits.turnsAway(remote.address);
    if (refusal === null) return true;
    recordTurnedAway(parts, remote, listener, refusal);
    return false;
  }

  /** Resolves when the connection is done with; never rejects. */
  accept(connection: Connection, arrival: Arrival): Promise<void> {
    const generation = this.#current;
    const visit = new Visit(this, generation, connection, arrival);
    if (this.#asked) visit.askToLeave();
    this.#visits.add(visit);
    this.#open++;
    generation.open++;
    return visit.run();
  }

  /** A connection that came under it is done with. */
  left(visit: Visit, generation: Generation): void {
    visit.unlink();
    this.#open--;
    generation.open--;
    if (generation.open === 0 && this.#former.delete(generation)) this.#outOfUse();
    if (this.#onLeave.length > 0) for (const resolve of this.#onLeave.splice(0)) resolve();
  }

  /** Where connections on the route are counted. */
  countsOf(route: Route): RouteCounts {
    let counts = this.#counts.get(route);
    if (counts === undefined) {
      const named = this.#perName.get(route.name) ?? { open: 0 };
      this.#perName.set(route.name, named);
      counts = new RouteCounts(route, named, this.parts.metrics);
      this.#counts.set(route, counts);
    }
    return counts;
  }

  /** A connection has left its route. */
  leftRoute(counts: RouteCounts): void {
    counts.count(-1);
    if (counts.open > 0 || this.#current.has(counts.route)) return;
    this.#counts.delete(counts.route);
    this.#outOfUse();
  }

  /**
   * Asks every connection to end in its own time, one after the other; resolves when none is left. Agents' are no reason to wait for long
   * once they are the last ones, and nobody elsewhere uses them: streams that others keep for later have no user any
   * more.
   *
   * @param withinMs in which all of them are asked
   */
  async drain(withinMs = 0): Promise<void> {
    this.#draining.abort();
    const everybody = this.#visits.values();
    const ask = (visit: Visit): void => visit.askToLeave();
    this.#stopTurns = stagger(everybody, spanOf(everybody.length, withinMs), ask, () => {
      this.#asked = true;
      for (const visit of this.#visits.values()) ask(visit);
    });
    const { agentCount } = this.parts;
    await this.#until(() => this.#open <= agentCount());
    await this.parts.usedElsewhere();
    let late: ReturnType<typeof setTimeout> | undefined;
    const patience = new Promise<void>((resolve) => {
      late = setTimeout(resolve, lastAgentsMs);
    });
    await Promise.race([this.#until(() => this.#open === 0), patience]);
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
    for (const visit of this.#visits.values()) visit.recheck(now);
  }

  /** Ends what is left: all of it when so many milliseconds are over, and as much as it can only then. */
  abortAll(withinMs = 0): void {
    this.#stopTurns();
    const end = (): void => {
      const left = this.#visits.values();
      const cut = (visit: Visit): void => visit.forceClose();
      this.#stopTurns = stagger(left, spanOf(left.length, withinMs), cut, () => {
        for (const visit of this.#visits.values()) cut(visit);
      });
    };
    const waitMs = withinMs - spanOf(this.#open, withinMs);
    if (waitMs > 0) {
      const timer = setTimeout(end, waitMs);
      this.#stopTurns = () => clearTimeout(timer);
    } else end();
  }
}
