import type { Cancellation } from "./exchange.ts";

/** Tells once, whoever listens: that nobody waits for an answer any more, or that it is time to go. */
export class Gone implements Cancellation {
  aborted = false;
  #listeners: (() => void)[] = [];

  readonly abort = (): void => {
    if (this.aborted) return;
    this.aborted = true;
    for (const listener of this.#listeners.splice(0)) listener();
  };

  addEventListener(_type: "abort", listener: () => void): void {
    if (!this.aborted) this.#listeners.push(listener);
  }

  removeEventListener(_type: "abort", listener: () => void): void {
    const at = this.#listeners.indexOf(listener);
    if (at >= 0) this.#listeners.splice(at, 1);
  }
}
