import type { Traffic } from "../core/live.ts";

/** Bytes a second. */
export interface Sample {
  readonly in: number;
  readonly out: number;
}

/** How much went through, in samples of equal length: the last ones, as many as there is room for. */
export class Throughput {
  readonly #room: number;
  readonly #samples: Sample[] = [];
  #before: Traffic | undefined;
  #at = 0;

  constructor(room: number) {
    this.#room = room;
  }

  /**
   * @param total all bytes since the start
   * @param now milliseconds on a clock that does not go back
   */
  take(total: Traffic, now: number): void {
    const before = this.#before;
    const seconds = (now - this.#at) / 1000;
    this.#before = total;
    this.#at = now;
    if (before === undefined || seconds <= 0) return;
    // A connection's count begins again with its TLS.
    const rate = (bytes: number): number => Math.max(0, Math.round(bytes / seconds));
    this.#samples.push({
      in: rate(total.bytesIn - before.bytesIn),
      out: rate(total.bytesOut - before.bytesOut),
    });
    if (this.#samples.length > this.#room) this.#samples.shift();
  }

  /** The oldest first. */
  get samples(): readonly Sample[] {
    return [...this.#samples];
  }
}
