import { LruMap } from "../core/lru-map.ts";
import type { Route } from "../core/route.ts";
import { Refusal } from "../errors.ts";
import type { Log } from "../observe/log.ts";
import type { AgentInfo, AgentSource, ServiceTarget } from "../tunnel/agents.ts";
import { receive } from "../tunnel/exchange.ts";
import { parseAnswer } from "../tunnel/wire.ts";
import type { Connection } from "../types.ts";
import { type DialledRouter, dialRouter, type PeerParts } from "./dialled-router.ts";
import { fromPeer, unknownAgent } from "./session.ts";
import type { RouterPlace, Whereabouts } from "./whereabouts.ts";
import { encodePeerRequest, parseListedAgent } from "./wire.ts";

/** A stream is asked for at no more routers than this. */
const maxAsked = 8;
/** With less time left nobody else is asked. */
const leastAttemptMs = 250;
/** One that was out of reach so lately is asked last. */
const missedMs = 10_000;
/** How long an agent may be between two routers, or word of it on its way. */
const movingMs = 300;
const listMs = 3000;
const maxListed = 10_000;

export interface RoutersParts extends PeerParts {
  readonly whereabouts: Whereabouts;
  /** The route that other routers come by, as it is now, which says who they are; `null`: nobody is one. */
  readonly route: () => Route | null;
  readonly log: Log;
  /** How long a connection is kept that nothing uses. */
  readonly idleMs?: number;
}

/** Each once: several processes of one router have one address. */
const addresses = (places: readonly RouterPlace[]): string[] => [
  ...new Set(places.map(({ address }) => address)),
];

/** Resolves with what `promise` does, if it does in time; what comes later is nobody's. */
async function within<T>(promise: Promise<T>, ms: number, late: () => Refusal): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(late()), ms);
  });
  try {
    return await Promise.race([promise, over]);
  } finally {
    clearTimeout(timer);
  }
}

/** The other routers, as this one asks them for their agents: one connection to each, which carries all streams. */
export class OtherRouters implements AgentSource {
  readonly #parts: RoutersParts;
  /** By address. */
  readonly #dialled = new Map<string, Promise<DialledRouter>>();
  /** All that are open; those that were replaced go on until their streams are over. */
  readonly #open = new Set<DialledRouter>();
  readonly #missed = new LruMap<string, number>(256);
  /** Who had an agent last. */
  readonly #had = new LruMap<string, string>(4096);
  #closed = false;

  constructor(parts: RoutersParts) {
    this.#parts = parts;
  }

  has(name: string): boolean {
    return this.#parts.route() !== null && this.#parts.whereabouts.routersWith(name).length > 0;
  }

  async list(): Promise<readonly AgentInfo[]> {
    const route = this.#parts.route();
    if (route === null) return [];
    const routers = addresses(this.#parts.whereabouts.routers()).filter((at) => !this.#isMissed(at));
    // Whoever can't be asked now has its agents said by others, or by nobody.
    const lists = await Promise.all(routers.map((at) => this.#list(route, at).catch(() => [])));
    return lists.flat();
  }

  async open(target: ServiceTarget): Promise<Connection | null> {
    const route = this.#parts.route();
    if (route === null) return null;
    const until = performance.now() + target.withinMs;
    const stream = await this.#ofAny(route, target);
    if (stream !== null || this.#had.get(target.agent) === undefined) return stream;
    // It was there, and may be moving: where to will be known in a moment.
    const left = until - performance.now() - movingMs;
    if (left < leastAttemptMs) return null;
    await new Promise((resolve) => setTimeout(resolve, movingMs));
    const again = await this.#ofAny(route, { ...target, withinMs: left });
    if (again === null) this.#had.delete(target.agent);
    return again;
  }

  /** Asks one router after the other. `null`: none has such an agent. Throws a `Refusal`. */
  async #ofAny(route: Route, target: ServiceTarget): Promise<Connection | null> {
    const until = performance.now() + target.withinMs;
    const routers = this.#inOrder(this.#parts.whereabouts.routersWith(target.agent), target.agent);
    let failure: Refusal | null = null;
    for (const [i, at] of routers.entries()) {
      const ms = (until - performance.now()) / (routers.length - i);
      if (i > 0 && ms < leastAttemptMs) break;
      try {
        const stream = await this.#through(route, at, { ...target, withinMs: ms });
        if (stream === null) continue;
        this.#had.set(target.agent, at);
        return stream;
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        failure ??= error;
      }
    }
    if (failure !== null) throw failure;
    return null;
  }

  /** Ends connections to routers that are none any more, or were dialled by what does not hold any more. */
  sweep(now: number): void {
    const route = this.#parts.route();
    for (const router of this.#open) {
      if (router.route !== route) router.retire();
      router.recheck(now);
    }
  }

  /** Ends all connections, whatever they carry. */
  close(): void {
    this.#closed = true;
    for (const router of this.#open) router.close();
  }

  /** Whoever had the agent last comes first; those that were out of reach come last. */
  #inOrder(places: readonly RouterPlace[], agent: string): readonly string[] {
    const had = this.#had.get(agent);
    const rank = (at: string): number => (this.#isMissed(at) ? 2 : at === had ? 0 : 1);
    return addresses(places)
      .sort((a, b) => rank(a) - rank(b))
      .slice(0, maxAsked);
  }

  #isMissed(at: string): boolean {
    const when = this.#missed.get(at);
    return when !== undefined && performance.now() - when < missedMs;
  }

  /** `null` where that router has no such agent. Throws a `Refusal`. */
  async #through(route: Route, at: string, target: ServiceTarget): Promise<Connection | null> {
    const until = performance.now() + target.withinMs;
    for (let again = false; ; again = true) {
      const left = Math.max(1, until - performance.now());
      const router = await this.#router(route, at, left);
      try {
        return await this.#ask(router, { ...target, withinMs: Math.max(1, until - performance.now()) });
      } catch (error) {
        // Where it has just gone away, there may be another in its place: it never had the stream.
        if (again || router.isOpen) throw error;
      }
    }
  }

  async #ask(router: DialledRouter, target: ServiceTarget): Promise<Connection | null> {
    const who = `router ${router.name}`;
    const stream = router.open();
    try {
      await stream.write(encodePeerRequest({ ask: "open", target }));
      const { refused } = await receive(stream, parseAnswer, target.withinMs, who);
      if (refused === null) return stream;
      stream.abort();
      if (refused.reason === unknownAgent) return null;
      throw fromPeer(refused.reason, `${who}: ${refused.detail}`);
    } catch (error) {
      stream.abort();
      if (error instanceof Refusal && error.reason !== "protocol_error") {
        if (error.reason === "upstream_unreachable") router.suspect();
        throw error;
      }
      const detail = error instanceof Error ? error.message : String(error);
      throw new Refusal("upstream_unreachable", `${who}: ${detail}`, { cause: error });
    }
  }

  async #list(route: Route, at: string): Promise<readonly AgentInfo[]> {
    const router = await this.#router(route, at, listMs);
    const stream = router.open();
    const until = performance.now() + listMs;
    const found: AgentInfo[] = [];
    try {
      await stream.write(encodePeerRequest({ ask: "list" }));
      while (found.length < maxListed) {
        const left = Math.max(1, until - performance.now());
        const { agent } = await receive(stream, parseListedAgent, left, `router ${router.name}`);
        if (agent === null) break;
        found.push({ ...agent, router: router.name });
      }
    } finally {
      stream.abort();
    }
    return found;
  }

  async #router(route: Route, at: string, ms: number): Promise<DialledRouter> {
    const late = (): Refusal =>
      new Refusal("upstream_unreachable", `router ${at} did not answer within ${Math.round(ms)} ms`);
    const known = this.#dialled.get(at);
    if (known !== undefined) {
      const router = await within(known, ms, late);
      if (router.isOpen && router.route === route) return router;
      if (this.#dialled.get(at) === known) this.#dialled.delete(at);
      return this.#router(route, at, ms);
    }
    const made = this.#dial(route, at);
    this.#dialled.set(at, made);
    made.catch((error: unknown) => {
      if (this.#dialled.get(at) === made) this.#dialled.delete(at);
      if (!this.#isMissed(at)) {
        const why = error instanceof Error ? error.message : String(error);
        this.#parts.log.warn("another router can't be asked for agents", { router: at, why });
      }
      this.#missed.set(at, performance.now());
    });
    return within(made, ms, late);
  }

  async #dial(route: Route, at: string): Promise<DialledRouter> {
    const router = await dialRouter(this.#parts, route, at);
    this.#missed.delete(at);
    if (this.#closed) router.close();
    this.#open.add(router);
    router.closeWhenIdle(this.#parts.idleMs ?? 60_000);
    this.#parts.log.info("connected to another router", { router: at, subject: router.subject });
    void router.closed.then((why) => {
      this.#open.delete(router);
      this.#parts.log.info("no longer connected to another router", { router: at, why });
    });
    return router;
  }
}
