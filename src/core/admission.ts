import type { Refusal } from "../errors.ts";
import { givenWay, LimitReached } from "../limits/limit-reached.ts";
import { HalfOpen, makeRoom } from "./half-open.ts";
import { Ring } from "./ring.ts";

export interface Caps {
  readonly connections: number;
  readonly perSource: number;
  readonly perIdentity: number;
}

/** For the process's own needs: files it reads again, names it looks up, health checks. */
const reservedFiles = 32;

/**
 * How many connections a process has room for, one socket to the client and one to the upstream each. A
 * router that runs out of files can't even refuse: some systems wake it for a connection that it can't
 * accept, again and again.
 */
export const connectionRoom = (files: { readonly limit: number; readonly open: number }): number =>
  Math.max(1, Math.floor((files.limit - files.open - reservedFiles) / 2));

/** One connection's place under the caps, taken at accept and given back when it ends. */
export interface Place {
  /** Once the source address is known (a PROXY header may bring it). Throws where it has too many. */
  enterSource(address: string): void | Promise<void>;
  /** Once the identity is known, by a key that names it. Throws where it has too many. */
  enterIdentity(key: string): void | Promise<void>;
  /** Once the route is known, by its name, where it has a cap of its own. Throws where it is full. */
  enterRoute(name: string, cap: number): void | Promise<void>;
  /** The handshake is over: no newer connection takes this place any more. */
  established(): void;
  leave(): void;
}

/** Who decides whether there is room. */
export interface AdmissionControl {
  /**
   * At accept. Throws a `limit_reached` refusal where there is no room. `evict` is called when a newer connection
   * takes this one's place; it must end the connection, which then leaves as usual.
   */
  enter(evict: (refusal: Refusal) => void): Place | Promise<Place>;
}

/** What a connection hears that there is no place for. */
export const noRoom = {
  connections: (cap: number) => new LimitReached("connections", `${cap} connections are open`),
  source: (cap: number, address: string) =>
    new LimitReached("source", `${cap} connections are open from ${address}`),
  identity: (cap: number) => new LimitReached("identity", `${cap} connections are open for this identity`),
  route: (cap: number, name: string) =>
    new LimitReached("route", `${cap} connections are open on route ${name}`),
  givenWay,
};

interface Source {
  count: number;
  readonly halfOpen: Ring<HalfOpen>;
}

/**
 * Counts connections against the caps. A connection whose handshake is not over is half-open; where a
 * cap is reached, the oldest half-open one gives way to the new one, so that a crowd that connects and
 * says nothing cannot keep others out. With none to evict the new one is refused.
 */
export class Admission implements AdmissionControl {
  readonly caps: Caps;
  readonly sources = new Map<string, Source>();
  readonly identities = new Map<string, number>();
  readonly routes = new Map<string, number>();
  /** In the order in which they came. */
  readonly halfOpen = new Ring<HalfOpen>();
  connections = 0;

  constructor(caps: Caps) {
    this.caps = caps;
  }

  enter(evict: (refusal: Refusal) => void): Place {
    if (this.connections >= this.caps.connections && !makeRoom(this.halfOpen)) {
      throw noRoom.connections(this.caps.connections);
    }
    this.connections++;
    return new OwnPlace(this, evict);
  }
}

class OwnPlace implements Place {
  readonly #amongAll = new HalfOpen(this);
  readonly #amongItsSource = new HalfOpen(this);
  readonly #admission: Admission;
  readonly #evict: (refusal: Refusal) => void;
  #isHalfOpen = true;
  #address = "";
  #source: Source | undefined;
  #identity: string | undefined;
  #route: string | undefined;

  constructor(admission: Admission, evict: (refusal: Refusal) => void) {
    this.#admission = admission;
    this.#evict = evict;
    admission.halfOpen.add(this.#amongAll);
  }

  enterSource(address: string): void {
    const { sources, caps } = this.#admission;
    const source = sources.get(address) ?? { count: 0, halfOpen: new Ring() };
    if (source.count >= caps.perSource && !makeRoom(source.halfOpen)) {
      throw noRoom.source(caps.perSource, address);
    }
    if (source.count++ === 0) sources.set(address, source);
    if (this.#isHalfOpen) source.halfOpen.add(this.#amongItsSource);
    this.#address = address;
    this.#source = source;
  }

  enterIdentity(key: string): void {
    const { identities, caps } = this.#admission;
    const count = identities.get(key) ?? 0;
    if (count >= caps.perIdentity) throw noRoom.identity(caps.perIdentity);
    identities.set(key, count + 1);
    this.#identity = key;
  }

  enterRoute(name: string, cap: number): void {
    const { routes } = this.#admission;
    const count = routes.get(name) ?? 0;
    if (count >= cap) throw noRoom.route(cap, name);
    routes.set(name, count + 1);
    this.#route = name;
  }

  established(): void {
    if (!this.#isHalfOpen) return;
    this.#isHalfOpen = false;
    this.#amongAll.unlink();
    this.#amongItsSource.unlink();
  }

  /** For a newer connection. */
  giveWay(): void {
    this.established();
    this.#evict(noRoom.givenWay());
  }

  leave(): void {
    this.established();
    const { sources, identities, routes } = this.#admission;
    this.#admission.connections--;
    const source = this.#source;
    if (source !== undefined && --source.count === 0) sources.delete(this.#address);
    countOut(identities, this.#identity);
    countOut(routes, this.#route);
  }
}

function countOut(counts: Map<string, number>, key: string | undefined): void {
  if (key === undefined) return;
  const count = (counts.get(key) ?? 1) - 1;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}
