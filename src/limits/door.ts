const tickMs = 10;
/** How many come in for a tick at the most, and at the least. */
const most = 16;
const least = 4;
/** A tick that comes so late says that the process has too much to do, one that comes sooner that it has not. */
const lateMs = 5;
const soonMs = 2;

/**
 * How many strangers come in at all. To look at one, and to wait for what it says, costs many times what turning it away
 * does: so a crowd comes in as far as the event loop bears it, and no further once that is late. After a rest, as
 * many as may be under way come in at once.
 */
export class Door {
  readonly #room: number;
  readonly #now: () => number;
  #credit: number;
  #each = most;
  #ticked = 0;
  #ticking = false;

  /** @param room how many may be under way */
  constructor(room: number, now: () => number) {
    this.#room = room;
    this.#now = now;
    this.#credit = room;
  }

  get shut(): boolean {
    return this.#credit < 1;
  }

  /** A stranger has come in. */
  came(): void {
    this.#credit--;
    if (!this.#ticking) this.#schedule();
  }

  #schedule(): void {
    this.#ticking = true;
    this.#ticked = this.#now();
    setTimeout(() => this.#tick(), tickMs);
  }

  #tick(): void {
    const passedMs = this.#now() - this.#ticked;
    const late = passedMs - tickMs;
    if (late > lateMs) this.#each = Math.max(least, this.#each >> 1);
    else if (late < soonMs) this.#each = Math.min(most, this.#each + 1);
    this.#credit = Math.min(this.#room, this.#credit + (this.#each * passedMs) / tickMs);
    this.#ticking = this.#credit < this.#room;
    if (this.#ticking) this.#schedule();
    else this.#each = most;
  }
}
