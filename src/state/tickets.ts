import * as base64url from "jose/base64url";
import { z } from "zod";
import type { SharedMap, SharedState } from "./state.ts";

/** How long tickets are sealed by one secret: sessions are shorter by far, and whoever kept one begins anew. */
const ticketsMs = 12 * 3_600_000;
const lookEveryMs = 60_000;

const bits = 32;
const kept = z.object({ secret: z.string().regex(/^[A-Za-z0-9_-]{43}$/), since: z.number() });

/**
 * What all routers seal session tickets by: a session that began at one is resumed at another. Made by whoever finds
 * that there is none, or that its time is over; where two do so at once, all take the later one.
 */
export class SharedTickets {
  readonly #state: SharedState;
  readonly #secrets: SharedMap<z.output<typeof kept>>;
  #look: ReturnType<typeof setInterval> | undefined;

  constructor(state: SharedState) {
    this.#state = state;
    this.#secrets = state.map("tickets", kept);
    state.onChange(() => this.#renew());
  }

  start(): void {
    this.#look = setInterval(() => this.#renew(), lookEveryMs);
  }

  stop(): void {
    clearInterval(this.#look);
  }

  /** `null` while nobody has said what it is. */
  get secret(): Uint8Array | null {
    const now = this.#secrets.get("now");
    return now === undefined ? null : base64url.decode(now.secret);
  }

  /** It is another one from now on. */
  onChange(callback: () => void): void {
    this.#secrets.onChange(() => callback());
  }

  #renew(): void {
    if (!this.#state.wasRead) return;
    const { since } = this.#secrets.get("now") ?? {};
    // A clock that is far ahead must not make one last for ever.
    if (since !== undefined && Math.abs(Date.now() - since) < ticketsMs) return;
    const secret = base64url.encode(crypto.getRandomValues(new Uint8Array(bits)));
    void this.#secrets.set("now", { secret, since: Date.now() }, 2 * ticketsMs);
  }
}
