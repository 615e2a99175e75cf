/** After so many requests in a row that a server took and did not answer it is out. */
const failuresUntilOut = 3;
const firstOutMs = 1000;
const longestOutMs = 30_000;

/** What requests have found of one server: those that can't be reached, or break off, are left out for a while. */
export class Health {
  #failures = 0;
  #outs = 0;
  #outUntil = 0;

  /** @param now milliseconds on any clock that does not go back */
  isOut(now: number): boolean {
    return now < this.#outUntil;
  }

  get outUntil(): number {
    return this.#outUntil;
  }

  answered(): void {
    this.#failures = 0;
    this.#outs = 0;
    this.#outUntil = 0;
  }

  /** No connection came about: out at once, each time for twice as long. */
  unreachable(now: number): void {
    this.#out(now);
  }

  /** It took a request and broke off before an answer: that may have been the request's fault, once. */
  brokeOff(now: number): void {
    if (++this.#failures >= failuresUntilOut) this.#out(now);
  }

  #out(now: number): void {
    // Many requests may have been under way: they say the same once.
    if (this.isOut(now)) return;
    this.#failures = 0;
    this.#outUntil = now + Math.min(firstOutMs * 2 ** this.#outs, longestOutMs);
    if (firstOutMs * 2 ** this.#outs < longestOutMs) this.#outs++;
  }
}
