/** So many a second in the long run, and so many at once after a rest. */
export interface TokenRate {
  readonly perSecond: number;
  readonly burst: number;
}

/** Keys that are remembered: a number each. */
const defaultCapacity = 65_536;

/** How many are looked at to find one to forget. */
const looks = 16;

/**
 * A token bucket for each key, as the one number that says all of it: when the bucket will be full again (the virtual
 * scheduling form of GCRA, ITU-T I.371). A full bucket says nothing and is forgotten first; where none is full, the
 * fullest of a few old ones is. So whoever makes up keys can't have a bucket forgotten that is empty: made-up ones are fuller.
 */
export class TokenBuckets {
  readonly #msEach: number;
  readonly #burstMs: number;
  readonly #capacity: number;
  readonly #fullAt = new Map<string, number>();

  constructor({ perSecond, burst }: TokenRate, capacity = defaultCapacity) {
    this.#msEach = 1000 / perSecond;
    this.#burstMs = burst * this.#msEach;
    this.#capacity = capacity;
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#fullAt.size;
  }

  /** The milliseconds until there is a token; 0 where there is one. */
  wait(key: string, now: number): number {
    const fullAt = Math.max(this.#fullAt.get(key) ?? now, now) + this.#msEach;
    const wait = fullAt - this.#burstMs - now;
    // Sums of fractions: less than a microsecond is no wait.
    return wait > 0.001 ? Math.min(wait, this.#msEach) : 0;
  }

  /**
   * Takes one token. Gives 0, or where there is none the milliseconds until there is one.
   *
   * @param now milliseconds of any clock, the same for all calls
   */
  take(key: string, now: number): number {
    // An empty bucket, and a clock that was set back since: it is empty by the new one, and no more than that.
    if ((this.#fullAt.get(key) ?? now) > now + this.#burstMs) this.#set(key, now + this.#burstMs, now);
    const wait = this.wait(key, now);
    if (wait === 0) this.#set(key, Math.max(this.#fullAt.get(key) ?? now, now) + this.#msEach, now);
    return wait;
  }

  /** Takes as many as it likes, there or not. Gives the milliseconds until they would all have been there. */
  spend(key: string, tokens: number, now: number): number {
    const fullAt = Math.max(this.#fullAt.get(key) ?? now, now) + tokens * this.#msEach;
    this.#set(key, fullAt, now);
    return Math.max(0, fullAt - this.#burstMs - now);
  }

  #set(key: string, fullAt: number, now: number): void {
    if (this.#fullAt.size >= this.#capacity && !this.#fullAt.has(key)) this.#makeRoom(now);
    this.#fullAt.set(key, fullAt);
  }

  #makeRoom(now: number): void {
    const old: [string, number][] = [];
    for (const entry of this.#fullAt) if (old.push(entry) === looks) break;
    old.sort(([, a], [, b]) => a - b);
    for (const [i, [key, fullAt]] of old.entries()) {
      this.#fullAt.delete(key);
      // Those that stay have their turn again when all others had theirs.
      if (i > 0 && fullAt > now) this.#fullAt.set(key, fullAt);
    }
  }
}
