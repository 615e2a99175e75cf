import { LruMap } from "../core/lru-map.ts";
import { Link, Ring } from "../core/ring.ts";
import { Door } from "./door.ts";
import { givenWay, LimitReached } from "./limit-reached.ts";

/** Sources that are remembered as known. */
const knownSources = 16_384;
/** For how long after their last verified handshake. */
const knownMs = 3_600_000;
/** Strangers leave as much time as they take to known sources that came within so long. */
const latelyMs = 2000;
/** As much, but no more at a time. */
const longestPauseMs = 5;
/** Whatever else the process has to do, so many strangers' handshakes begin in a millisecond. */
const leastEachMs = 0.2;
/** So long may the last of those wait that do, or newcomers are turned away. */
const patienceMs = 500;

/** A connection's way through the turnstile. */
export interface Passage {
  /** Resolves when the handshake may begin. Rejects once the connection has left. */
  pass(): Promise<void> | undefined;
  /** The handshake is over, or the connection is. */
  leave(): void;
}

const free: Passage = { pass: () => undefined, leave: () => {} };

const leftBefore = (): LimitReached => new LimitReached("handshakes", "left before its turn");

/** A source that has not shown a good certificate lately. */
class Stranger extends Link implements Passage {
  readonly #turnstile: Turnstile;
  readonly #evict: (refusal: LimitReached) => void;
  #go: { resolve(): void; reject(error: Error): void } | undefined;
  #left = false;
  /** Its hello has come. */
  waits = false;

  constructor(turnstile: Turnstile, evict: (refusal: LimitReached) => void) {
    super();
    this.#turnstile = turnstile;
    this.#evict = evict;
  }

  pass(): Promise<void> | undefined {
    if (this.#turnstile.mayBegin()) return undefined;
    if (this.#left) return Promise.reject(leftBefore());
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
    if (this.#left) return;
    this.#left = true;
    this.#turnstile.forget(this);
    this.#go?.reject(leftBefore());
    this.#go = undefined;
  }
}

/**
 * Keeps a flood of handshakes from those whom the router knows. Sources with a client certificate that was verified
 * lately go through; handshakes of others, which cost the router more than the client, begin one by one, a turn of the
 * event loop and as long again apart, so that whatever else there is to do has its turn between two of them. Only so
 * many of them are under way: beyond that, one that waits for its client gives way, or the newest is turned away before
 * anything of it was read.
 */
export class Turnstile {
  readonly #most: number;
  readonly #now: () => number;
  readonly #door: Door;
  /** When each source was last verified. */
  readonly #known = new LruMap<string, number>(knownSources);
  #anyKnown = false;
  #knownCame = Number.NEGATIVE_INFINITY;
  /** Whose handshake may begin, or has: their clients' move. In the order in which they came. */
  readonly #underWay = new Ring<Stranger>();
  /** Whose hello has come. */
  readonly #waiting = new Ring<Stranger>();
  #strangers = 0;
  /** Of them. */
  #waitingCount = 0;
  /** One has begun, and the next one has to wait. */
  #turning = false;
  #turned = 0;
  /** Milliseconds from one that waited to the next, as they were lately. */
  #eachMs = 1;

  /**
   * @param most handshakes of strangers under way at once
   * @param cpuMs the processor time that this process has taken
   */
  constructor(most: number, cpuMs: () => number = () => 0, now: () => number = () => performance.now()) {
    this.#most = most;
    this.#now = now;
    this.#door = new Door(most, now, cpuMs, () => this.#knownCameLately());
  }

  /** A handshake of this source was verified. */
  verified(source: string): void {
    this.#known.set(source, this.#now());
    this.#anyKnown = true;
  }

  /** Whether a connection of this source is to be turned away, were it to come now. */
  turnsAway(source: string): boolean {
    const away = this.#isShut() && !this.#isKnown(source);
    if (away) this.#door.knocked();
    return away;
  }

  /**
   * A connection has come. Throws where there are too many.
   *
   * @param evict ends the connection, for a newer one
   */
  enter(source: string, evict: (refusal: LimitReached) => void): Passage {
    if (this.#isKnown(source)) {
      this.#knownCame = this.#now();
      return free;
    }
    this.#door.knocked();
    const shut = this.#isShut();
    if (shut || this.#strangers >= this.#most) {
      // Where there is too much to do, turning the newest away is the least of it.
      const oldest = shut ? undefined : this.#underWay.first;
      if (oldest === undefined) throw new LimitReached("handshakes", tooMany);
      oldest.giveWay();
    }
    if (this.#anyKnown) this.#door.came();
    const stranger = new Stranger(this, evict);
    this.#underWay.add(stranger);
    this.#strangers++;
    return stranger;
  }

  #isKnown(source: string): boolean {
    const last = this.#known.get(source);
    return last !== undefined && this.#now() - last < knownMs;
  }

  #knownCameLately(): boolean {
    return this.#now() - this.#knownCame < latelyMs;
  }

  /** Where nobody is known there is nobody to make way for. */
  #isShut(): boolean {
    return this.#anyKnown && (this.#waitingCount * this.#eachMs > patienceMs || this.#door.shut);
  }

  /** Whether one more may begin at once. */
  mayBegin(): boolean {
    if (!this.#anyKnown) return true;
    if (this.#turning) return false;
    this.#turn();
    return true;
  }

  wait(stranger: Stranger): void {
    stranger.unlink();
    stranger.waits = true;
    this.#waiting.add(stranger);
    this.#waitingCount++;
  }

  forget(stranger: Stranger): void {
    stranger.unlink();
    this.#strangers--;
    if (stranger.waits) this.#waitingCount--;
  }

  /** One begins: once everybody else had a turn, and as long again, the next may. */
  #turn(): void {
    this.#turning = true;
    this.#turned = this.#now();
    // The first ends this turn of the event loop, the second a whole one.
    setImmediate(() => setImmediate(() => this.#pause()));
  }

  #pause(): void {
    const now = this.#now();
    const tookMs = Math.min(now - this.#turned, longestPauseMs);
    // Timers are no more exact than a millisecond.
    if (this.#knownCameLately() && tookMs >= 1) setTimeout(() => this.#next(), tookMs);
    else this.#next();
  }

  #next(): void {
    this.#turning = false;
    if (this.#waitingCount === 0) return;
    const passedMs = this.#now() - this.#turned;
    let count = Math.max(1, Math.floor(passedMs * leastEachMs));
    this.#eachMs += (passedMs / count - this.#eachMs) / 8;
    while (count-- > 0) {
      const stranger = this.#waiting.first;
      if (stranger === undefined) break;
      stranger.unlink();
      stranger.waits = false;
      this.#waitingCount--;
      this.#underWay.add(stranger);
      stranger.begin();
    }
    this.#turn();
  }
}

export const tooMany = "too many handshakes of sources that are not known are under way";
