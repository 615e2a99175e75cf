import { type AdmissionControl, type Caps, noRoom, type Place } from "../core/admission.ts";
import { HalfOpen, makeRoom } from "../core/half-open.ts";
import { Ring } from "../core/ring.ts";
import type { Refusal } from "../errors.ts";

/** Places that all workers have together, in the primary. */
export interface PoolClient {
  /** False where there is none left; rejects where the primary is gone. */
  take(holder: number, key: string, cap: number, evicts: boolean): Promise<boolean>;
  established(holder: number): void;
  leave(holder: number): void;
}

/** Of a cap, what all workers together may give out without asking: one part in so many. */
const unaskedPart = 8;

interface Group {
  readonly key: string;
  count: number;
  readonly halfOpen: Ring<HalfOpen>;
}

/**
 * One worker's side of caps that hold for all of them. Each has a small part of every cap to itself, which it gives out
 * at once; everything above is taken from what the workers have in common, and the primary says. So the cap is never
 * exceeded, and whoever is far from it costs no question.
 */
export class SharedAdmission implements AdmissionControl {
  readonly caps: Caps;
  readonly pool: PoolClient;
  readonly #workers: number;
  readonly #room: number;
  readonly #groups = new Map<string, Group>();
  readonly #open: Group = { key: "", count: 0, halfOpen: new Ring() };
  readonly #places = new Map<number, SharedPlace>();
  #holders = 0;

  /** @param room what this process may have open, whatever the caps say */
  constructor(caps: Caps, workers: number, room: number, pool: PoolClient) {
    this.caps = caps;
    this.pool = pool;
    this.#workers = workers;
    this.#room = room;
  }

  /** A number for whoever is to hold places in the pool. */
  holder(): number {
    return ++this.#holders;
  }

  enter(evict: (refusal: Refusal) => void): Place | Promise<Place> {
    const place = new SharedPlace(this, evict);
    const cap = this.caps.connections;
    if (this.#open.count >= this.#room && !makeRoom(this.#open.halfOpen))
      throw noRoom.connections(this.#room);
    this.#open.count++;
    place.mayGiveWay(this.#open.halfOpen);
    const asked = this.take(place, "connections", cap, true, () => noRoom.connections(cap));
    if (asked === undefined) return place;
    return asked.then(
      () => place,
      (error: unknown) => {
        place.leave();
        throw error;
      },
    );
  }

  /** Counts a place in under a key: at once, or where it has to ask. Rejects with a refusal where there is no room. */
  take(
    place: SharedPlace,
    key: string,
    cap: number,
    evicts: boolean,
    refused: () => Refusal,
  ): void | Promise<void> {
    const own = Math.floor(cap / (unaskedPart * this.#workers));
    if ((this.#groups.get(key)?.count ?? 0) < own) return this.#count(place, key, evicts);
    return this.#ask(place, key, cap - own * this.#workers, evicts, refused);
  }

  async #ask(
    place: SharedPlace,
    key: string,
    shared: number,
    evicts: boolean,
    refused: () => Refusal,
  ): Promise<void> {
    // Before: the primary may give it to another one in the same breath.
    this.#places.set(place.holder, place);
    if (await this.pool.take(place.holder, key, shared, evicts)) {
      place.asked = true;
      return;
    }
    const full = this.#groups.get(key);
    if (!evicts || full === undefined || !makeRoom(full.halfOpen)) throw refused();
    this.#count(place, key, evicts);
  }

  #count(place: SharedPlace, key: string, evicts: boolean): void {
    const group = this.#groups.get(key) ?? { key, count: 0, halfOpen: new Ring() };
    if (group.count++ === 0) this.#groups.set(key, group);
    if (evicts && place.isHalfOpen) place.mayGiveWay(group.halfOpen);
    place.groups.push(group);
  }

  leave(place: SharedPlace): void {
    this.#open.count--;
    for (const group of place.groups) if (--group.count === 0) this.#groups.delete(group.key);
    if (place.asked) this.pool.leave(place.holder);
    this.#places.delete(place.holder);
  }

  /** The primary has given the place to a newer connection. */
  evict(holder: number): void {
    const place = this.#places.get(holder);
    if (place?.isHalfOpen === true) place.giveWay();
  }
}

class SharedPlace implements Place {
  readonly holder: number;
  /** Where it is counted in this worker. */
  readonly groups: Group[] = [];
  /** Whether the primary counts it, too. */
  asked = false;
  isHalfOpen = true;
  /** For each ring that it stands in. */
  readonly #halfOpen: HalfOpen[] = [];
  readonly #admission: SharedAdmission;
  readonly #evict: (refusal: Refusal) => void;

  constructor(admission: SharedAdmission, evict: (refusal: Refusal) => void) {
    this.#admission = admission;
    this.#evict = evict;
    this.holder = admission.holder();
  }

  enterSource(address: string): void | Promise<void> {
    const cap = this.#admission.caps.perSource;
    return this.#take(`source ${address}`, cap, true, () => noRoom.source(cap, address));
  }

  enterIdentity(key: string): void | Promise<void> {
    const cap = this.#admission.caps.perIdentity;
    return this.#take(`identity ${key}`, cap, false, () => noRoom.identity(cap));
  }

  enterRoute(name: string, cap: number): void | Promise<void> {
    return this.#take(`route ${name}`, cap, false, () => noRoom.route(cap, name));
  }

  /** To a newer connection, which looks for it there. */
  mayGiveWay(halfOpen: Ring<HalfOpen>): void {
    const link = new HalfOpen(this);
    halfOpen.add(link);
    this.#halfOpen.push(link);
  }

  #settle(): void {
    this.isHalfOpen = false;
    for (const link of this.#halfOpen) link.unlink();
  }

  established(): void {
    if (!this.isHalfOpen) return;
    this.#settle();
    if (this.asked) this.#admission.pool.established(this.holder);
  }

  giveWay(): void {
    this.established();
    this.#evict(noRoom.givenWay());
  }

  leave(): void {
    this.#settle();
    this.#admission.leave(this);
  }

  #take(key: string, cap: number, evicts: boolean, refused: () => Refusal): void | Promise<void> {
    return this.#admission.take(this, key, cap, evicts, refused);
  }
}
