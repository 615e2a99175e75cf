import { LruMap } from "../core/lru-map.ts";
import { givenWay, LimitReached } from "./limit-reached.ts";

/** Sources that are remembered as known. */
const knownSources = 16_384;
/** For how long after their last verified handshake. */
const knownMs = 3_600_000;

/** Handshakes of strangers begin in batches, so many milliseconds apart, where they have to wait for each other. */
const tickMs = 10;
const largestBatch = 16;
/** A tick that comes so late says that the process had too much to do, one that comes sooner that it had not. */
const lateMs = 5;
const soonMs = 2;
/** So many ticks may the last of those wait that do, or newcomers are turned away. */
const patience = 50;

/** A connection's way through the turnstile. */
export interface Passage {
  /** Resolves when the handshake may begin. Rejects once the connection has left. */
  pass(): Promise<void> | undefined;
  /** The handshake is over, or the connection is. */
  leave(): void;
}

const free: Passage = { pass: () => undefined, leave: () => {} };

/** A source that has not shown a good certificate lately. */
class Stranger implements Passage {
  readonly #turnstile: Turnstile;
  readonly #evict: (refusal: LimitReached) => void;
  #go: { resolve(): void; reject(error: Error): void } | undefined;

  constructor(turnstile: Turnstile, evict: (refusal: LimitReached) => void) {
    this.#turnstile = turnstile;
    this.#evict = evict;
  }

  pass(): Promise<void> | undefined {
    if (this.#turnstile.mayBegin()) return undefined;
    return new Promise((resolve, reject) => {
      this.#go = { resolve, reject };
      this.#turnstile.wait(this);
    });
  }

  begin(): void {
    this.#go?.resolve();
    this.#go = undefined;
  }

  giveWay(): void {
    this.leave();
    this.#evict(givenWay());
  }

  leave(): void {
    this.#turnstile.forget(this);
    this.#go?.reject(new LimitReached("handshakes", "left before its turn"));
    this.#go = undefined;
  }
}

/**
 * Keeps a flood of handshakes from those whom the router knows. Sources with a client certificate that was verified
 * lately go through; handshakes of others, which cost the router more than the client, begin in batches as small as
 * the event loop's delay asks for, and only so many of them are under way: beyond that, one that waits for
 * its client gives way, or the newest is turned away before anything of it was read.
 */
export class Turnstile {
  readonly #most: number;
  readonly #now: () => number;
  /** When each source was last verified. */
  readonly #known = new LruMap<string, number>(knownSources);
  #anyKnown = false;
  /** Whose handshake may begin, or has: their clients' move. In the order in which they came. */
  readonly #underWay = new Set<Stranger>();
  /** Whose hello has come. */
  readonly #waiting = new Set<Stranger>();
  #batch = largestBatch;
  #begun = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @param most handshakes of strangers under way at once */
  constructor(most: number, now: () => number = () => performance.now()) {
    this.#most = most;
    this.#now = now;
  }

  /** A handshake of this source was verified. */
  verified(source: string): void {
    this.#known.set(source, this.#now());
    this.#anyKnown = true;
  }

  /**
   * A connection has come. Throws where there are too many.
   *
   * @param evict ends the connection, for a newer one
   */
  enter(source: string, evict: (refusal: LimitReached) => void): Passage {
    const last = this.#known.get(source);
    if (last !== undefined && this.#now() - last < knownMs) return free;
    const many = this.#underWay.size + this.#waiting.size;
    const tooBusy = this.#waiting.size > 0 && many >= this.#batch * patience;
    if (tooBusy || many >= this.#most) {
      // Where there is too much to do, turning the newest away is the least of it.
      const [oldest] = tooBusy ? [] : this.#underWay;
      if (oldest === undefined)
        throw new LimitReached(
          "handshakes",
          `${many} handshakes of sources that are not known are under way`,
        );
      oldest.giveWay();
    }
    const stranger = new Stranger(this, evict);
    this.#underWay.add(stranger);
    return stranger;
  }

  /** Whether one more may begin at once. By the timer alone the next batch begins: where that is late, so is the batch. */
  mayBegin(): boolean {
    // Where nobody is known there is nobody to make way for.
    if (!this.#anyKnown) return true;
    if (this.#waiting.size > 0) return false;
    if (this.#begun >= this.#batch) return false;
    this.#begun++;
    this.#schedule();
    return true;
  }

  wait(stranger: Stranger): void {
    this.#underWay.delete(stranger);
    this.#waiting.add(stranger);
    this.#schedule();
  }

  forget(stranger: Stranger): void {
    this.#underWay.delete(stranger);
    this.#waiting.delete(stranger);
  }

  #schedule(): void {
    if (this.#timer !== undefined) return;
    const due = this.#now() + tickMs;
    this.#timer = setTimeout(() => this.#tick(this.#now() - due), tickMs);
  }

  #tick(late: number): void {
    this.#timer = undefined;
    if (late > lateMs) this.#batch = Math.max(1, this.#batch >> 1);
    else if (late < soonMs) this.#batch = Math.min(largestBatch, this.#batch + 1);
    this.#begun = 0;
    for (const stranger of this.#waiting) {
      if (this.#begun >= this.#batch) break;
      this.#begun++;
      this.#waiting.delete(stranger);
      this.#underWay.add(stranger);
      stranger.begin();
    }
    if (this.#begun > 0) this.#schedule();
    // Nobody came: the next crowd finds out anew.
    else this.#batch = largestBatch;
  }
}
