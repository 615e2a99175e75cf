import { Refusal } from "../errors.ts";
import type { Asking } from "../peer/wire.ts";
import type { Connection } from "../types.ts";
import type { ConnectedAgent } from "./connected-agent.ts";

/** What is known of a connection of an agent. Name and services are held to rules; the rest is the agent's word. */
export interface AgentInfo {
  readonly name: string;
  readonly services: readonly string[];
  readonly version: string;
  /** `address:port` that it came from. */
  readonly address: string;
  /** The subject of its certificate. */
  readonly subject: string;
  /** ISO 8601. */
  readonly since: string;
  /** Open streams. */
  readonly streams: number;
  /** Payload bytes from the agent, and to it. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** `host:port` of the router that it is connected to, where that is another one. */
  readonly router?: string;
}

/** One stream to a service that an agent publishes. */
export interface ServiceTarget {
  readonly agent: string;
  readonly service: string;
  /** The connection's id in the audit log. */
  readonly connection: string;
  readonly withinMs: number;
  /** For whom; `null` where a connection is shared by many clients. */
  readonly asking: Asking | null;
}

/** Agents that are connected somewhere else. */
export interface AgentSource {
  /** Whether it knows one of that name, as far as it heard. */
  has(name: string): boolean;
  list(): Promise<readonly AgentInfo[]>;
  /** A connection, or `null` where it knows no such agent. Rejects with a `Refusal`. */
  open(target: ServiceTarget): Promise<Connection | null>;
}

export interface AgentCaps {
  readonly agents: number;
  readonly perName: number;
}

/** Places that all processes of the router have together. */
export interface SharedPlaces {
  /** False where there is none left under that key. */
  take(key: string, cap: number): Promise<boolean>;
  leave(): void;
}

/** One connection's place among them. */
export interface AgentPlace {
  /** It may be asked for its services. */
  join(agent: ConnectedAgent): void;
  /** It may be asked no more, and is still there. */
  withdraw(): void;
  /** It is gone: once. */
  leave(): void;
}

/** Once there is no answer within this, another agent of the name is asked. */
const leastAttemptMs = 250;

/** The agents that are connected, by name: how their services are reached. */
export class Agents {
  readonly #caps: AgentCaps;
  readonly #changed: (count: number) => void;
  readonly #shared: (() => SharedPlaces) | null;
  readonly #byName = new Map<string, Set<ConnectedAgent>>();
  readonly #perName = new Map<string, number>();
  /** Other processes of this router, and other routers. */
  readonly #here: AgentSource[] = [];
  readonly #elsewhere: AgentSource[] = [];
  #count = 0;

  /**
   * @param changed agents came, or went: how many there are
   * @param shared asks for an agent's places where other processes count with this one
   */
  constructor(caps: AgentCaps, changed: (count: number) => void, shared: (() => SharedPlaces) | null = null) {
    this.#shared = shared;
    this.#caps = caps;
    this.#changed = changed;
  }

  /**
   * Agents that this process does not have itself.
   *
   * @param where whether another process of this router has them, or another router
   */
  addSource(source: AgentSource, where: "here" | "elsewhere"): void {
    (where === "here" ? this.#here : this.#elsewhere).push(source);
  }

  /** How many this process has. */
  get count(): number {
    return this.#count;
  }

  /** Names of those of this process that may be asked for their services. */
  get names(): readonly string[] {
    return [...this.#byName.keys()];
  }

  /** Those of this process. */
  local(): readonly AgentInfo[] {
    return [...this.#byName.values()].flatMap((group) => [...group].map(({ info }) => info));
  }

  /** Whether this router has one of that name, as far as this process heard. */
  has(name: string): boolean {
    return this.#byName.has(name) || this.#here.some((source) => source.has(name));
  }

  /** All that are known. */
  list(): Promise<readonly AgentInfo[]> {
    return this.#list([...this.#here, ...this.#elsewhere]);
  }

  /** Those of this router. */
  listHere(): Promise<readonly AgentInfo[]> {
    return this.#list(this.#here);
  }

  async #list(sources: readonly AgentSource[]): Promise<readonly AgentInfo[]> {
    const others = await Promise.all(sources.map((source) => source.list()));
    return [...this.local(), ...others.flat()];
  }

  /** A place for an agent of this name. Rejects with a `limit_reached` refusal where there is none. */
  async enter(name: string): Promise<AgentPlace> {
    const { agents, perName } = this.#caps;
    const fullOf = (cap: number, what: string): Refusal =>
      new Refusal("limit_reached", `${cap} agents ${what}are connected`);
    const count = this.#perName.get(name) ?? 0;
    if (this.#count >= agents) throw fullOf(agents, "");
    if (count >= perName) throw fullOf(perName, `${name} `);
    this.#perName.set(name, count + 1);
    this.#changed(++this.#count);
    const shared = this.#shared?.() ?? null;
    const leave = (): void => {
      shared?.leave();
      const left = (this.#perName.get(name) ?? 1) - 1;
      if (left === 0) this.#perName.delete(name);
      else this.#perName.set(name, left);
      this.#changed(--this.#count);
    };
    try {
      if ((await shared?.take("agents", agents)) === false) throw fullOf(agents, "");
      if ((await shared?.take(`agent ${name}`, perName)) === false) throw fullOf(perName, `${name} `);
    } catch (error) {
      leave();
      throw error;
    }
    let joined: ConnectedAgent | undefined;
    const withdraw = (): void => {
      const group = this.#byName.get(name);
      if (joined === undefined || group?.delete(joined) !== true) return;
      if (group.size === 0) this.#byName.delete(name);
      this.#changed(this.#count);
    };
    return {
      join: (agent) => {
        joined = agent;
        const group = this.#byName.get(name) ?? new Set();
        this.#byName.set(name, group.add(agent));
        this.#changed(this.#count);
      },
      withdraw,
      leave: () => {
        withdraw();
        leave();
      },
    };
  }

  /**
   * A connection to a service that an agent of this name publishes: the one with the fewest streams, and where it
   * can't, the next. Rejects with a `Refusal`.
   */
  open(target: ServiceTarget): Promise<Connection> {
    return this.#open(target, [...this.#here, ...this.#elsewhere]);
  }

  /** The same among the agents of this router: what another one asks for goes no further. */
  openHere(target: ServiceTarget): Promise<Connection> {
    return this.#open(target, this.#here);
  }

  async #open(target: ServiceTarget, sources: readonly AgentSource[]): Promise<Connection> {
    const until = performance.now() + target.withinMs;
    const has = (source: AgentSource): boolean => source.has(target.agent);
    const hadOne = this.#byName.has(target.agent);
    // One that does not answer must leave time for those of others.
    const first = await this.openLocal({
      ...target,
      withinMs: target.withinMs / (sources.filter(has).length + 1),
    });
    if (!(first instanceof Refusal)) return first;
    let failure = hadOne ? first : null;
    for (const [i, source] of sources.entries()) {
      if (!has(source)) continue;
      const withinMs = (until - performance.now()) / sources.slice(i).filter(has).length;
      if (withinMs < leastAttemptMs) break;
      try {
        const connection = await source.open({ ...target, withinMs });
        if (connection !== null) return connection;
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        failure ??= error;
      }
    }
    const left = until - performance.now();
    // Agents move, and while others were asked it may have come here.
    if (!hadOne && this.#byName.has(target.agent) && left >= leastAttemptMs) {
      const again = await this.openLocal({ ...target, withinMs: left });
      if (!(again instanceof Refusal)) return again;
      failure ??= again;
    }
    throw failure ?? first;
  }

  /** The same among the agents of this process alone; resolves with why not. */
  async openLocal(target: ServiceTarget): Promise<Connection | Refusal> {
    const { agent: name, service } = target;
    const group = [...(this.#byName.get(name) ?? [])];
    if (group.length === 0) return new Refusal("upstream_unreachable", `no agent ${name} is connected`);
    const left = group
      .filter(({ services }) => services.includes(service))
      .sort((a, b) => Number(a.isQuiet) - Number(b.isQuiet) || a.streams - b.streams);
    if (left.length === 0)
      return new Refusal("upstream_refused", `agent ${name} publishes no service ${service}`);
    const until = performance.now() + target.withinMs;
    let failure: Refusal | undefined;
    for (const [i, agent] of left.entries()) {
      const ms = (until - performance.now()) / (left.length - i);
      if (ms < leastAttemptMs) break;
      try {
        return await agent.open(target, i === left.length - 1 ? until - performance.now() : ms);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        // The first says most: of a service that is gone on all of them, or of one that is full.
        failure ??= error;
      }
    }
    return failure ?? new Refusal("upstream_unreachable", `agent ${name} did not answer in time`);
  }
}
