/** A process that holds places, and can be asked to give one back. */
export interface PoolMember {
  evict(holder: number): void;
}

/** One connection's places, in one process. */
interface Holding {
  readonly member: PoolMember;
  readonly holder: number;
  readonly keys: string[];
  established: boolean;
}

interface Group {
  count: number;
  /** In the order in which they came. */
  readonly halfOpen: Set<Holding>;
}

/**
 * What all workers may have together, counted by the primary: places under caps, by what the cap is on. Where one is
 * reached, the oldest half-open holder gives way, in whichever worker it is.
 */
export class Pool {
  readonly #groups = new Map<string, Group>();
  readonly #holdings = new Map<PoolMember, Map<number, Holding>>();

  /** False where there is no room, and nobody to make some. */
  take(member: PoolMember, holder: number, key: string, cap: number, evicts: boolean): boolean {
    const group = this.#groups.get(key) ?? { count: 0, halfOpen: new Set<Holding>() };
    if (group.count >= cap) {
      const [oldest] = evicts ? group.halfOpen : [];
      if (oldest === undefined) return false;
      this.#settle(oldest);
      oldest.member.evict(oldest.holder);
    }
    const holding = this.#holding(member, holder);
    holding.keys.push(key);
    group.count++;
    if (evicts && !holding.established) group.halfOpen.add(holding);
    this.#groups.set(key, group);
    return true;
  }

  established(member: PoolMember, holder: number): void {
    const holding = this.#holdings.get(member)?.get(holder);
    if (holding !== undefined) this.#settle(holding);
  }

  leave(member: PoolMember, holder: number): void {
    const holdings = this.#holdings.get(member);
    const holding = holdings?.get(holder);
    if (holding === undefined) return;
    holdings?.delete(holder);
    this.#settle(holding);
    for (const key of holding.keys) {
      const group = this.#groups.get(key);
      if (group !== undefined && --group.count === 0) this.#groups.delete(key);
    }
  }

  /** The process has ended, and with it all that it held. */
  gone(member: PoolMember): void {
    for (const holder of [...(this.#holdings.get(member)?.keys() ?? [])]) this.leave(member, holder);
    this.#holdings.delete(member);
  }

  #holding(member: PoolMember, holder: number): Holding {
    const holdings = this.#holdings.get(member) ?? new Map<number, Holding>();
    this.#holdings.set(member, holdings);
    const known = holdings.get(holder);
    if (known !== undefined) return known;
    const made = { member, holder, keys: [], established: false };
    holdings.set(holder, made);
    return made;
  }

  #settle(holding: Holding): void {
    holding.established = true;
    for (const key of holding.keys) this.#groups.get(key)?.halfOpen.delete(holding);
  }
}
