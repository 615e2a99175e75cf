import * as base64url from "jose/base64url";
import { z } from "zod";
import type { Holder } from "../adapters/postgres/cancel-keys.ts";
import type { CancelKey } from "../adapters/postgres/wire.ts";
import { holder } from "../workers/peer-messages.ts";
import type { SharedState } from "./state.ts";

/** For the router that has the session to ask its server, and to say so. */
const withinMs = 2000;
/** Requests that wait for an answer: more are not asked elsewhere. */
const maxAsked = 1000;

const asked = z.object({
  ask: z.string().max(64),
  /** Its secret in base64url. */
  key: z.object({
    pid: z.int(),
    secret: z
      .string()
      .max(512)
      .regex(/^[A-Za-z0-9_-]*$/),
  }),
  asking: holder,
});
const done = z.object({ ask: z.string().max(64) });

type CancelsOwn = (key: CancelKey, asking: Holder) => Promise<boolean>;

/**
 * Requests to cancel that come to another router than the session's: all are asked, and the one that has the session
 * decides, by the same rules as for its own.
 */
export class SharedCancels {
  readonly #asked = new Map<string, () => void>();
  readonly #ask: { tell(message: z.output<typeof asked>): void };
  #own: CancelsOwn = async () => false;

  constructor(state: SharedState) {
    const answer = state.topic("cancelled", done, ({ ask }) => this.#asked.get(ask)?.());
    this.#ask = state.topic("cancel", asked, ({ ask, key, asking }) => {
      // What this router asks it has looked for already.
      if (this.#asked.has(ask)) return;
      const wanted = { pid: key.pid, secret: base64url.decode(key.secret) };
      void this.#own(wanted, asking).then(
        (cancelled) => {
          if (cancelled) answer.tell({ ask });
        },
        // Its server can't be reached: nobody is told that it was cancelled.
        () => {},
      );
    });
  }

  /** How this process cancels what runs in a session of its own. */
  set own(cancels: CancelsOwn) {
    this.#own = cancels;
  }

  /** `false` too where the router that has the session does not answer. */
  async cancel({ pid, secret }: CancelKey, asking: Holder): Promise<boolean> {
    if (this.#asked.size >= maxAsked) return false;
    const ask = crypto.randomUUID();
    let late: ReturnType<typeof setTimeout> | undefined;
    const answered = new Promise<boolean>((resolve) => {
      late = setTimeout(() => resolve(false), withinMs);
      this.#asked.set(ask, () => resolve(true));
    });
    this.#ask.tell({ ask, key: { pid, secret: base64url.encode(secret) }, asking: holder.parse(asking) });
    const cancelled = await answered;
    clearTimeout(late);
    this.#asked.delete(ask);
    return cancelled;
  }
}
