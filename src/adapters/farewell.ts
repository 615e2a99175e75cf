import { type Deadline, deadline } from "../core/deadline.ts";
import type { Connection } from "../types.ts";

/** How long the client may take to hear it. */
const lingerMs = 1000;

/** Ends a session under a relay whose client is listened to no more: what is on its way to it still gets there. */
export class Farewell {
  readonly #client: Connection;
  readonly #upstream: Connection;
  #late: Deadline | undefined;

  constructor(client: Connection, upstream: Connection) {
    this.#client = client;
    this.#upstream = upstream;
  }

  /** There are answers to come, within so many milliseconds; `now` may be called before. */
  soon(ms: number): void {
    this.#late = deadline(ms, () => this.now());
  }

  /** The upstream hears that there is no more, ends too, and so the client hears it. */
  now(): void {
    this.#late?.cancel();
    this.#late = deadline(lingerMs, () => this.#client.abort());
    void this.#upstream.closeWrite().catch(() => {});
  }

  /** It is over. */
  done(): void {
    this.#late?.cancel();
  }
}
