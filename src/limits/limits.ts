import type { Connection } from "../types.ts";
import { LimitReached } from "./limit-reached.ts";
import type { MemoryBound } from "./memory-bound.ts";
import { type Charge, paced } from "./paced-connection.ts";
import { sourceKey } from "./source-key.ts";
import { TokenBuckets, type TokenRate } from "./token-buckets.ts";
import { type Passage, Turnstile, tooMany } from "./turnstile.ts";

/** `null`: no limit. */
export interface LimitSettings {
  readonly connectionsPerSource: TokenRate | null;
  readonly connectionsPerIdentity: TokenRate | null;
  /** Bytes a second, each way. */
  readonly bandwidthPerSource: number | null;
  readonly bandwidthPerIdentity: number | null;
  /** Handshakes under way at once of sources that are not known. */
  readonly handshakes: number;
  /** Bytes of all processes together; `auto`: by what there is. */
  readonly memory: number | "auto" | null;
}

const shareOf = (rate: TokenRate | null, processes: number): TokenBuckets | null =>
  rate === null
    ? null
    : new TokenBuckets({
        perSecond: rate.perSecond / processes,
        burst: Math.max(1, Math.ceil(rate.burst / processes)),
      });

/** What is carried each way, for each key. */
class Bandwidth {
  readonly #in: TokenBuckets;
  readonly #out: TokenBuckets;

  constructor(perSecond: number) {
    // After a rest, as much at once as a quarter of a second brings.
    const rate = { perSecond, burst: perSecond / 4 };
    this.#in = new TokenBuckets(rate);
    this.#out = new TokenBuckets(rate);
  }

  in(key: string): Charge {
    return (bytes) => this.#in.spend(key, bytes, performance.now());
  }

  out(key: string): Charge {
    return (bytes) => this.#out.spend(key, bytes, performance.now());
  }
}

/** Whoever is held to several rates waits for the slowest. */
const slowest =
  (charges: readonly Charge[]): Charge =>
  (bytes) =>
    Math.max(...charges.map((charge) => charge(bytes)));

const tooFast = (source: string): LimitReached =>
  new LimitReached("source_rate", `connections come too fast from ${source}`);

/** The same object for a whole crowd: to make one costs as much as the rest of turning somebody away. */
const crowded = new LimitReached("handshakes", tooMany);

/** Limits on how fast, beside the caps on how many: one for all connections of a process. */
export class Limits {
  readonly #perSource: TokenBuckets | null;
  readonly #perIdentity: TokenBuckets | null;
  readonly #sourceBandwidth: Bandwidth | null;
  readonly #identityBandwidth: Bandwidth | null;
  readonly #turnstile: Turnstile;
  readonly #memory: Pick<MemoryBound, "refusal"> | null;

  /** @param processes among which rates are divided */
  constructor(
    settings: LimitSettings,
    processes: number,
    memory: Pick<MemoryBound, "refusal"> | null = null,
    cpuMs: () => number = () => 0,
  ) {
    this.#memory = memory;
    this.#perSource = shareOf(settings.connectionsPerSource, processes);
    this.#perIdentity = shareOf(settings.connectionsPerIdentity, processes);
    const { bandwidthPerSource: source, bandwidthPerIdentity: identity } = settings;
    this.#sourceBandwidth = source === null ? null : new Bandwidth(source / processes);
    this.#identityBandwidth = identity === null ? null : new Bandwidth(identity / processes);
    this.#turnstile = new Turnstile(Math.max(1, Math.ceil(settings.handshakes / processes)), cpuMs);
  }

  /**
   * Why a connection from that address would be turned away before anything of it is read, were it to come now. Asked of
   * each one first, since that is cheaper than taking it in; who is let in here may be turned away then all the same.
   */
  turnsAway(address: string): LimitReached | null {
    const full = this.#memory?.refusal(true) ?? null;
    if (full !== null) return full;
    const source = sourceKey(address);
    if ((this.#perSource?.wait(source, performance.now()) ?? 0) > 0) return tooFast(source);
    return this.#turnstile.turnsAway(source) ? crowded : null;
  }

  /** A connection has come from that address. Throws where it must not go on. */
  arrived(address: string, evict: (refusal: LimitReached) => void): Passage {
    const source = sourceKey(address);
    if ((this.#perSource?.take(source, performance.now()) ?? 0) > 0) throw tooFast(source);
    return this.#turnstile.enter(source, evict);
  }

  /** Its client showed a good certificate. Throws where that came too often. */
  identified(address: string, key: string): void {
    this.#turnstile.verified(sourceKey(address));
    if ((this.#perIdentity?.take(key, performance.now()) ?? 0) > 0)
      throw new LimitReached("identity_rate", "connections of this identity come too fast");
  }

  /**
   * The connection, held to the bandwidth of its source and identity; itself where there is no limit on either.
   *
   * @param address `null` where it came inside another connection, whose bytes these are
   * @param key the identity's, `null` without one
   */
  pace(connection: Connection, address: string | null, key: string | null): Connection {
    if (this.#sourceBandwidth === null && this.#identityBandwidth === null) return connection;
    const held: [Bandwidth, string][] = [];
    if (this.#sourceBandwidth !== null && address !== null)
      held.push([this.#sourceBandwidth, sourceKey(address)]);
    if (this.#identityBandwidth !== null && key !== null) held.push([this.#identityBandwidth, key]);
    if (held.length === 0) return connection;
    return paced(connection, {
      in: slowest(held.map(([bandwidth, of]) => bandwidth.in(of))),
      out: slowest(held.map(([bandwidth, of]) => bandwidth.out(of))),
    });
  }
}
