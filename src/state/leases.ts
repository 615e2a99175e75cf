import type { SharedState } from "./state.ts";

/** Of a cap, what is asked for at once: one part in so many, so that whoever is far below it seldom asks. */
const part = 64;
/** Said anew in a third of the time in which it would be over. */
const renewals = 3;
/** What is given back at once is told at once. */
const gatherMs = 10;
/** Places of so many caps in one command. */
const abreast = 200;

interface Held {
  /** Connections, and places that this process may fill without asking. */
  used: number;
  leased: number;
  /** How many are asked for at once. */
  readonly block: number;
  asking: Promise<boolean> | null;
  /** Whether somebody came since they were last renewed. */
  isBusy: boolean;
}

/**
 * This process's places under caps that all routers share. A few more than it uses are its own while people come and go.
 * While the shared state is away it counts for itself; what a router that died had is free soon.
 */
export class CapLeases {
  readonly #state: SharedState;
  readonly #held = new Map<string, Held>();
  readonly #changed = new Set<string>();
  #again: ReturnType<typeof setInterval> | undefined;
  #soon: ReturnType<typeof setTimeout> | undefined;

  constructor(state: SharedState) {
    this.#state = state;
    state.onChange(() => {
      // Redis may have forgotten what this process has, or thinks that it is gone.
      if (state.away === null) this.#renew();
    });
  }

  start(): void {
    this.#again = setInterval(() => this.#renew(), this.#state.leaseMs / renewals);
  }

  /** False where all routers together have no place left. Give it back by `leave`. */
  async take(key: string, cap: number): Promise<boolean> {
    const held = this.#held.get(key) ?? {
      ...{ used: 0, leased: 0, block: Math.max(1, Math.floor(cap / part)), asking: null, isBusy: true },
    };
    this.#held.set(key, held);
    held.isBusy = true;
    for (;;) {
      if (held.used < held.leased) break;
      held.asking ??= this.#ask(key, held, cap).finally(() => {
        held.asking = null;
      });
      const mayTake = await held.asking;
      if (held.used < held.leased) break;
      if (!mayTake) return this.#refuse(key, held);
    }
    held.used++;
    return true;
  }

  leave(key: string): void {
    const held = this.#held.get(key);
    if (held === undefined) return;
    held.used--;
    const spare = held.block === 1 ? 0 : 2 * held.block;
    if (held.leased - held.used > spare) this.#giveBack(key, held, held.block === 1 ? 0 : held.block);
  }

  close(): Promise<void> {
    clearInterval(this.#again);
    clearTimeout(this.#soon);
    for (const held of this.#held.values()) held.leased = 0;
    return this.#tell([...this.#held.keys()]);
  }

  /** Resolves with whether there may be places now. */
  async #ask(key: string, held: Held, cap: number): Promise<boolean> {
    try {
      const granted = await this.#state.lease(key, () => held.leased, held.block, cap);
      held.leased += granted;
      return granted > 0;
    } catch {
      // Away: this process alone keeps to the cap.
      if (held.leased >= cap) return false;
      held.leased++;
      return true;
    }
  }

  #refuse(key: string, held: Held): false {
    if (held.used === 0 && held.leased === 0 && held.asking === null) this.#held.delete(key);
    return false;
  }

  #giveBack(key: string, held: Held, spare: number): void {
    // What is asked for just now counts on what was there.
    if (held.asking !== null) return;
    held.leased = held.used + spare;
    if (held.leased === 0) this.#held.delete(key);
    this.#changed.add(key);
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      const keys = [...this.#changed];
      this.#changed.clear();
      void this.#tell(keys);
    }, gatherMs);
  }

  #renew(): void {
    for (const [key, held] of [...this.#held]) {
      if (!held.isBusy && held.leased > held.used) this.#giveBack(key, held, 0);
      held.isBusy = false;
    }
    void this.#tell([...this.#held.keys()]);
  }

  async #tell(keys: readonly string[]): Promise<void> {
    for (let i = 0; i < keys.length; i += abreast) {
      // Who is away says so later.
      await this.#state.hold(keys.slice(i, i + abreast), (key) => this.#has(key)).catch(() => {});
    }
  }

  /** To ask for more says how many there are already. */
  #has(key: string): number | null {
    const held = this.#held.get(key);
    if (held === undefined) return 0;
    return held.asking === null ? held.leased : null;
  }
}
