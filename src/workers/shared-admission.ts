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

/** What a cap counts: all connections, or those of one source, identity or route. */
class Counted {
  /** Where a place has its group. */
  readonly at: number;
  readonly name: string;
  /** Whether who is half-open gives way. */
  readonly evicts: boolean;
  readonly refused: (cap: number, key: string) => Refusal;
  readonly groups = new Map<string, Group>();

  constructor(at: number, name: string, evicts: boolean, refused: (cap: number, key: string) => Refusal) {
    this.at = at;
    this.name = name;
    this.evicts = evicts;
    this.refused = refused;
  }

  group(key: string): Group {
    let group = this.groups.get(key);
    if (group === undefined) {
      group = { of: this, key, count: 0, halfOpen: new Ring() };
      this.groups.set(key, group);
    }
    return group;
  }
}

/** Places that this worker gave out by itself. */
interface Group {
  readonly of: Counted;
  readonly key: string;
  count: number;
  readonly halfOpen: Ring<HalfOpen>;
}

function leaveGroup(group: Group | undefined): void {
  if (group !== undefined && --group.count === 0) group.of.groups.delete(group.key);
}

/**
 * One worker's side of caps that hold for all of them. Each has a small part of every cap to itself, which it gives out
 * at once; everything above is taken from what the workers have in common, and the primary says. So the cap holds, but
 * for who becomes established while the primary gives his place away; and whoever is far from it costs no question.
 */
export class SharedAdmission implements AdmissionControl {
  readonly caps: Caps;
  readonly pool: PoolClient;
  readonly connections = new Counted(0, "connections", true, (cap) => noRoom.connections(cap));
  readonly sources = new Counted(1, "source", true, (cap, address) => noRoom.source(cap, address));
  readonly identities = new Counted(2, "identity", false, (cap) => noRoom.identity(cap));
  readonly routes = new Counted(3, "route", false, (cap, name) => noRoom.route(cap, name));
  readonly #workers: number;
  readonly #room: number;
  /** All that this process has, whoever gave them their places. */
  readonly #halfOpen = new Ring<HalfOpen>();
  #open = 0;
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
    if (this.#open >= this.#room && !makeRoom(this.#halfOpen)) throw noRoom.connections(this.#room);
    this.#open++;
    const place = new SharedPlace(this, evict, this.#halfOpen);
    const asked = this.take(place, this.connections, "", this.caps.connections);
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
  take(place: SharedPlace, counted: Counted, key: string, cap: number): void | Promise<void> {
    const own = Math.floor(cap / (unaskedPart * this.#workers));
    if ((counted.groups.get(key)?.count ?? 0) < own) place.countIn(counted.group(key));
    else return this.#ask(place, counted, key, cap, cap - own * this.#workers);
  }

  async #ask(place: SharedPlace, counted: Counted, key: string, cap: number, shared: number): Promise<void> {
    // Before: the primary may give it to another one in the same breath.
    this.#places.set(place.holder, place);
    if (await this.pool.take(place.holder, `${counted.name} ${key}`, shared, counted.evicts)) {
      place.asked = true;
      return;
    }
    const full = counted.groups.get(key);
    if (!counted.evicts || full === undefined || !makeRoom(full.halfOpen)) throw counted.refused(cap, key);
    place.countIn(counted.group(key));
  }

  leave(place: SharedPlace): void {
    this.#open--;
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
  /** Whether the primary counts it, too. */
  asked = false;
  isHalfOpen = true;
  readonly #admission: SharedAdmission;
  readonly #evict: (refusal: Refusal) => void;
  /** Where it is counted in this worker, in the order of what caps count. */
  readonly #groups: (Group | undefined)[] = [undefined, undefined, undefined, undefined];
  readonly #inProcess = new HalfOpen(this);
  /** In its groups. */
  readonly #halfOpen: (HalfOpen | undefined)[] = [undefined, undefined];

  constructor(admission: SharedAdmission, evict: (refusal: Refusal) => void, inProcess: Ring<HalfOpen>) {
    this.#admission = admission;
    this.#evict = evict;
    this.holder = admission.holder();
    inProcess.add(this.#inProcess);
  }

  enterSource(address: string): void | Promise<void> {
    const { sources, caps } = this.#admission;
    return this.#admission.take(this, sources, address, caps.perSource);
  }

  enterIdentity(key: string): void | Promise<void> {
    const { identities, caps } = this.#admission;
    return this.#admission.take(this, identities, key, caps.perIdentity);
  }

  enterRoute(name: string, cap: number): void | Promise<void> {
    return this.#admission.take(this, this.#admission.routes, name, cap);
  }

  countIn(group: Group): void {
    const { at, evicts } = group.of;
    group.count++;
    this.#groups[at] = group;
    if (!evicts || !this.isHalfOpen) return;
    const link = new HalfOpen(this);
    group.halfOpen.add(link);
    this.#halfOpen[at] = link;
  }

  #settle(): void {
    this.isHalfOpen = false;
    this.#inProcess.unlink();
    for (const link of this.#halfOpen) link?.unlink();
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
    for (const group of this.#groups) leaveGroup(group);
    this.#admission.leave(this);
  }
}
