import { GeneratedKeys } from "../identity/assertion-key.ts";
import type { Secrets } from "./messages.ts";
import { newSecret } from "./secret.ts";

/** How long tickets are sealed by one secret: sessions are shorter by far, and whoever kept one begins anew. */
const ticketsMs = 12 * 3_600_000;

/** What all workers of a router know and nobody else: made by the primary, and replaced in time. */
export class RouterSecrets {
  readonly #assertions: GeneratedKeys | null;
  #tickets = newSecret();
  #since: number;

  /** @param generates whether the keys of assertions are ours to make; @param now Unix milliseconds */
  constructor(generates: boolean, now: number) {
    this.#assertions = generates ? new GeneratedKeys(now) : null;
    this.#since = now;
  }

  /** What is good now; replaced where its time is over. */
  async at(now: number): Promise<Secrets> {
    if (now - this.#since >= ticketsMs) {
      this.#tickets = newSecret();
      this.#since = now;
    }
    return { tickets: this.#tickets, assertions: (await this.#assertions?.exported(now)) ?? null };
  }
}
