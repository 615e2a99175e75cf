import { LimitReached } from "./limit-reached.ts";
import { sourceKey } from "./source-key.ts";
import { TokenBuckets, type TokenRate } from "./token-buckets.ts";
import { type Passage, Turnstile } from "./turnstile.ts";

/** `null`: no limit. */
export interface LimitSettings {
  readonly connectionsPerSource: TokenRate | null;
  readonly connectionsPerIdentity: TokenRate | null;
  /** Handshakes under way at once of sources that are not known. */
  readonly handshakes: number;
}

const shareOf = (rate: TokenRate | null, processes: number): TokenBuckets | null =>
  rate === null
    ? null
    : new TokenBuckets({
        perSecond: rate.perSecond / processes,
        burst: Math.max(1, Math.ceil(rate.burst / processes)),
      });

/** Limits on how fast, beside the caps on how many: one for all connections of a process. */
export class Limits {
  readonly #perSource: TokenBuckets | null;
  readonly #perIdentity: TokenBuckets | null;
  readonly #turnstile: Turnstile;

  /** @param processes among which rates are divided */
  constructor(settings: LimitSettings, processes: number) {
    this.#perSource = shareOf(settings.connectionsPerSource, processes);
    this.#perIdentity = shareOf(settings.connectionsPerIdentity, processes);
    this.#turnstile = new Turnstile(Math.max(1, Math.ceil(settings.handshakes / processes)));
  }

  /** A connection has come from that address. Throws where it must not go on. */
  arrived(address: string, evict: (refusal: LimitReached) => void): Passage {
    const source = sourceKey(address);
    if ((this.#perSource?.take(source, performance.now()) ?? 0) > 0)
      throw new LimitReached("source_rate", `connections come too fast from ${source}`);
    return this.#turnstile.enter(source, evict);
  }

  /** Its client showed a good certificate. Throws where that came too often. */
  identified(address: string, key: string): void {
    this.#turnstile.verified(sourceKey(address));
    if ((this.#perIdentity?.take(key, performance.now()) ?? 0) > 0)
      throw new LimitReached("identity_rate", "connections of this identity come too fast");
  }
}
