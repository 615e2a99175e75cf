import { LruMap } from "../core/lru-map.ts";
import { formatIp, parseIp } from "../wire/ip.ts";
import { EnrolmentRefusal } from "./refusal.ts";

/** Keys that are remembered: more are asked about only by somebody who makes them up, and forgetting is cheap. */
const capacity = 10_000;

interface Bucket {
  tokens: number;
  at: number;
}

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

/** So many a minute for each key, in a row or spread out (a token bucket). */
export class Rate implements RateLimit {
  readonly #perMinute: number;
  readonly #what: string;
  readonly #buckets = new LruMap<string, Bucket>(capacity);

  /** @param what whose requests are counted, for the message */
  constructor(perMinute: number, what: string) {
    this.#perMinute = perMinute;
    this.#what = what;
  }

  /** Counts one. Throws a `limit_reached` refusal that says when to try again. */
  take(key: string, now: number): void {
    const bucket = this.#buckets.get(key) ?? { tokens: this.#perMinute, at: now };
    const refilled = bucket.tokens + (Math.max(0, now - bucket.at) * this.#perMinute) / 60_000;
    const tokens = Math.min(this.#perMinute, refilled);
    if (tokens < 1) {
      const seconds = Math.ceil(((1 - tokens) * 60) / this.#perMinute);
      throw tooMany(this.#perMinute, this.#what, seconds);
    }
    this.#buckets.set(key, { tokens: tokens - 1, at: now });
  }
}

/** Who counts as one source: an IPv4 address, or the /64 that anybody with IPv6 has at least. */
export function sourceKey(address: string): string {
  const ip = parseIp(address);
  return ip === null || ip.length === 4 ? address : formatIp([...ip.slice(0, 8), ...new Array(8).fill(0)]);
}
