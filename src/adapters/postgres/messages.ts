import type { Connection } from "../../types.ts";
import { type Message, parseMessage } from "./wire.ts";

/** The stream is none of Postgres's. */
export class WireError extends Error {}

const empty = new Uint8Array(0);

/** The messages that come on a connection, one at a time; what is left can be put back. */
export class Messages {
  readonly #connection: Connection;
  readonly #maxLength: number;
  #buffer: Uint8Array = empty;

  constructor(connection: Connection, maxLength: number) {
    this.#connection = connection;
    this.#maxLength = maxLength;
  }

  #parse() {
    const parsed = parseMessage(this.#buffer, this.#maxLength);
    if (parsed.kind === "no") throw new WireError(parsed.detail);
    return parsed;
  }

  /** Whether the next one is here already. */
  get ready(): boolean {
    return this.#buffer.length > 0 && this.#parse().kind === "ok";
  }

  /** The next one; `null` once the peer has ended. Throws a `WireError`. */
  async next(): Promise<Message | null> {
    for (;;) {
      const parsed = this.#parse();
      if (parsed.kind === "ok") {
        this.#buffer = this.#buffer.subarray(parsed.used);
        return parsed.value;
      }
      const chunk = await this.#connection.read();
      if (chunk === null) return null;
      if (this.#buffer.length === 0) this.#buffer = chunk;
      else {
        const grown = new Uint8Array(this.#buffer.length + chunk.length);
        grown.set(this.#buffer);
        grown.set(chunk, this.#buffer.length);
        this.#buffer = grown;
      }
    }
  }

  /** Puts back what was read beyond the last message. */
  release(): void {
    this.#connection.unread(this.#buffer);
    this.#buffer = empty;
  }
}
