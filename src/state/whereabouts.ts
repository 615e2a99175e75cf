import { z } from "zod";
import type { SharedMap, SharedState } from "./state.ts";

/** Known for that long after a router said so last, and said again in time. */
const lastsMs = 15_000;
const sayEveryMs = 5000;
/** What comes at once is said at once. */
const gatherMs = 20;

const place = z.object({
  /** `host:port` where other routers reach it; `null`: they don't. */
  address: z.string().max(300).nullable(),
  agents: z.array(z.string().max(200)).max(20_000),
});
type Place = z.output<typeof place>;

/** A process of another router that has agents. */
export interface PeerRouter {
  readonly id: string;
  readonly address: string;
}

/** Which agents are connected to which router. Only a word on where to ask: who may is decided at both ends. */
export class Whereabouts {
  readonly #own: string;
  readonly #address: string | null;
  readonly #places: SharedMap<Place>;
  #again: ReturnType<typeof setInterval> | undefined;
  #agents: readonly string[] = [];
  #soon: ReturnType<typeof setTimeout> | undefined;

  /** @param address `host:port` where other routers reach this one; `null`: they don't */
  constructor(state: SharedState, address: string | null) {
    this.#own = state.id;
    this.#address = address;
    this.#places = state.map("agents", place);
  }

  start(): void {
    this.#again = setInterval(() => this.#say(), sayEveryMs);
  }

  /** The agents that this process has now, by name. */
  announce(agents: readonly string[]): void {
    this.#agents = agents;
    this.#soon ??= setTimeout(() => this.#say(), gatherMs);
  }

  /** Other routers that have an agent of that name, in no order; several processes of one have one address. */
  routersWith(agent: string): readonly PeerRouter[] {
    return this.#others.filter(({ agents }) => agents.includes(agent));
  }

  /** Other routers that have any. */
  routers(): readonly PeerRouter[] {
    return this.#others;
  }

  /** Takes back what it said. */
  async close(): Promise<void> {
    clearInterval(this.#again);
    clearTimeout(this.#soon);
    await this.#places.delete(this.#own);
  }

  get #others(): readonly (PeerRouter & { readonly agents: readonly string[] })[] {
    return [...this.#places.entries()].flatMap(([id, { address, agents }]) =>
      id === this.#own || address === null || address === this.#address || agents.length === 0
        ? []
        : [{ id, address, agents }],
    );
  }

  #say(): void {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    const { agents = [] } = this.#places.get(this.#own) ?? {};
    if (this.#agents.length === 0 && agents.length === 0) return;
    void this.#places.set(this.#own, { address: this.#address, agents: [...this.#agents] }, lastsMs);
  }
}
