/** What stands in one ring at a time, and can leave it without anybody's looking for it. */
export class Link {
  // Assigned rather than defined: of what so many kinds of links have in common V8 does the one by a look into a cache.
  declare before: Link;
  declare after: Link;

  constructor() {
    this.before = this;
    this.after = this;
  }

  get isLinked(): boolean {
    return this.after !== this;
  }

  /** Where it stands in none, nothing changes. */
  unlink(): void {
    this.before.after = this.after;
    this.after.before = this.before;
    this.before = this;
    this.after = this;
  }
}

/**
 * Links in the order in which they came: for what comes and goes with each connection, or oftener. A `Set` of few, of
 * which many come and go, makes itself a new table every few times, and a table that is out of use holds the one after
 * it and whatever was in it by then (so it is in V8): once one has grown old, all of them stay, with every connection
 * that was in them, until the whole heap is collected.
 */
export class Ring<L extends Link> {
  /** Stands before the first and after the last. */
  readonly #ends = new Link();

  /** Links it behind the last; it stands in no ring. */
  add(link: L): void {
    const last = this.#ends.before;
    link.before = last;
    link.after = this.#ends;
    last.after = link;
    this.#ends.before = link;
  }

  get first(): L | undefined {
    return this.#ends.isLinked ? (this.#ends.after as L) : undefined;
  }

  /** Those that are linked now. */
  values(): L[] {
    const all: L[] = [];
    for (let link = this.#ends.after; link !== this.#ends; link = link.after) all.push(link as L);
    return all;
  }
}
