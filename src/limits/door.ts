const tickMs = 10;
/** How many come in for a tick at the most. */
const most = 16;
/** A tick that comes so late says that the process has too much to do, one that comes sooner that it has not. */
const lateMs = 5;
const soonMs = 2;
/** Over so long it is seen how much of a processor the process takes, and how many come. */
const lookMs = 50;
/** More than so many from one look to the next are a crowd. */
const crowd = 64;

/** How many of a crowd come in for a tick at the least; what part of a processor is too much then, and little. */
interface Bounds {
  readonly least: number;
  readonly busy: number;
  readonly free: number;
}

/** Strangers among themselves, and where known sources come as well: those would wait behind all that there is to do. */
const amongThemselves: Bounds = { least: 4, busy: 0.7, free: 0.5 };
const besideKnown: Bounds = { least: 2, busy: 0.35, free: 0.25 };

/**
 * How many strangers come in at all. To look at one, and to wait for what it says, costs many times what turning it away
 * does: so a crowd comes in as far as the event loop and the processor bear it, and no further once they don't: with
 * all of a processor taken, known sources would wait in the system's queue, where nobody sees how long. Where they are
 * no crowd, the processor may be as busy as it likes. After a rest, as many as may be under way come in at once, unless
 * that is seen to be too much.
 */
export class Door {
  readonly #room: number;
  readonly #now: () => number;
  #credit: number;
  #each = most;
  #ticked = 0;
  #ticking = false;
  #looked = 0;
  #usedMs = 0;
  /** Since the last look. */
  #knocked = 0;
  #crowded = false;
  readonly #cpuMs: () => number;
  readonly #knownCome: () => boolean;

  /**
   * @param room how many may be under way
   * @param cpuMs the processor time that this process has taken
   * @param knownCome whether known sources came lately
   */
  constructor(room: number, now: () => number, cpuMs: () => number, knownCome: () => boolean) {
    this.#room = room;
    this.#now = now;
    this.#cpuMs = cpuMs;
    this.#knownCome = knownCome;
    this.#credit = room;
  }

  get shut(): boolean {
    return this.#credit < 1;
  }

  /** A stranger is at the door, whether or not it comes in. */
  knocked(): void {
    this.#knocked++;
  }

  /** A stranger has come in. */
  came(): void {
    this.#credit--;
    if (this.#ticking) return;
    this.#knocked = 0;
    this.#looked = this.#now();
    this.#usedMs = this.#cpuMs();
    this.#schedule();
  }

  #schedule(): void {
    this.#ticking = true;
    this.#ticked = this.#now();
    setTimeout(() => this.#tick(), tickMs);
  }

  #tick(): void {
    const passedMs = this.#now() - this.#ticked;
    const late = passedMs - tickMs;
    const { least, busy, free } = this.#knownCome() ? besideKnown : amongThemselves;
    const part = this.#look(busy) ?? free;
    if (late > lateMs || (this.#crowded && part > busy)) this.#each = Math.max(least, this.#each >> 1);
    else if (late < soonMs && (!this.#crowded || part < free)) this.#each = Math.min(most, this.#each + 1);
    this.#credit = Math.min(this.#room, this.#credit + (this.#each * passedMs) / tickMs);
    this.#ticking = this.#credit < this.#room;
    if (this.#ticking) this.#schedule();
    else this.#each = most;
  }

  /** The part of a processor that was taken since the last look; `null` between two looks. */
  #look(busy: number): number | null {
    const passedMs = this.#now() - this.#looked;
    if (passedMs < lookMs) return null;
    const usedMs = this.#cpuMs();
    const part = (usedMs - this.#usedMs) / passedMs;
    this.#crowded = this.#knocked > crowd;
    // As many as may come in after a rest would keep it busy for long.
    if (this.#crowded && part > busy) this.#credit = Math.min(this.#credit, 0);
    this.#looked += passedMs;
    this.#usedMs = usedMs;
    this.#knocked = 0;
    return part;
  }
}
