import type { Connection } from "../types.ts";
import { WrappedConnection } from "./wrapped.ts";

/** What statements wait in until they are written down. */
export interface Accounts {
  /** Resolves when there is room for more of them. */
  room(): Promise<void>;
  /** The connection is over: what had no answer is written down too, and nobody waits any longer. */
  over(): void;
}

/** A client that is made to wait while too many of its statements wait for their answers. */
export class AuditedClient extends WrappedConnection {
  readonly #accounts: Accounts;

  constructor(client: Connection, accounts: Accounts) {
    super(client);
    this.#accounts = accounts;
  }

  override async read(): Promise<Uint8Array | null> {
    await this.#accounts.room();
    return this.inner.read();
  }

  override closeWrite(): Promise<void> {
    this.#accounts.over();
    return this.inner.closeWrite();
  }

  override abort(how?: "close" | "reset"): void {
    this.#accounts.over();
    this.inner.abort(how);
  }
}
