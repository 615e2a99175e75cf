import { LimitReached } from "./limit-reached.ts";

/** How often it is looked at. */
const lookMs = 250;
/** It takes so much less than the bound for connections to come in again. */
const relief = 0.95;
/** How often the runtime is asked to look for what nobody needs, which it does with everything standing still. */
const collectMs = 10_000;
/** With so few connections open, it is not they who have it: nobody is refused. */
const fewest = 16;

export interface MemoryBoundParts {
  readonly bytes: number;
  /** What the process has, bytes. */
  readonly resident: () => number;
  /** Gives back what it can. */
  readonly collect: () => void;
  /** Connections that are open. */
  readonly open: () => number;
  /** The bound was reached, or no longer is. */
  readonly told: (reached: boolean, resident: number) => void;
}

const full = new LimitReached("memory", "the router's memory is at its bound");

/** Whether a process has as much memory as it may: then nobody new comes in, and who is in goes on. */
export class MemoryBound {
  readonly #parts: MemoryBoundParts;
  readonly #looking: ReturnType<typeof setInterval>;
  #reached = false;
  #collected = Number.NEGATIVE_INFINITY;

  constructor(parts: MemoryBoundParts) {
    this.#parts = parts;
    this.#looking = setInterval(() => this.look(performance.now()), lookMs);
  }

  /**
   * Why a connection may not come; `null` where it may.
   *
   * @param uncounted whether it is not among those yet that are open
   */
  refusal(uncounted: boolean): LimitReached | null {
    return this.#reached && this.#parts.open() + Number(uncounted) > fewest ? full : null;
  }

  /** @param now milliseconds */
  look(now: number): void {
    const { bytes, resident, collect, told } = this.#parts;
    const limit = this.#reached ? bytes * relief : bytes;
    const has = resident();
    if (has >= limit && now - this.#collected >= collectMs) {
      this.#collected = now;
      collect();
      // The system has it back a moment later (Node 20): the next look tells.
      return;
    }
    if (has >= limit === this.#reached) return;
    this.#reached = !this.#reached;
    told(this.#reached, has);
  }

  stop(): void {
    clearInterval(this.#looking);
  }
}
