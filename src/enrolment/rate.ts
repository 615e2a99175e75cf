import { TokenBuckets } from "../limits/token-buckets.ts";
import { EnrolmentRefusal } from "./refusal.ts";

/** Keys that are remembered: more are asked about only by somebody who makes them up, and forgetting is cheap. */
const capacity = 10_000;

/** Counts requests by a key; throws a `limit_reached` refusal where there were too many. */
export interface RateLimit {
  /** @param now Unix milliseconds */
  take(key: string, now: number): void | Promise<void>;
}

/** What whoever asks too often hears. */
export const tooMany = (perMinute: number, what: string, seconds: number): EnrolmentRefusal =>
  new EnrolmentRefusal(
    "limit_reached",
    `more than ${perMinute} requests a minute ${what}; try again in ${seconds} s`,
    seconds,
  );

/** So many a minute for each key, in a row or spread out. */
export class Rate implements RateLimit {
  readonly #perMinute: number;
  readonly #what: string;
  readonly #buckets: TokenBuckets;

  /** @param what whose requests are counted, for the message */
  constructor(perMinute: number, what: string) {
    this.#perMinute = perMinute;
    this.#what = what;
    this.#buckets = new TokenBuckets({ perSecond: perMinute / 60, burst: perMinute }, capacity);
  }

  /** Counts one. Throws a `limit_reached` refusal that says when to try again. */
  take(key: string, now: number): void {
    const wait = this.#buckets.take(key, now);
    if (wait > 0) throw tooMany(this.#perMinute, this.#what, Math.ceil(wait / 1000));
  }
}
