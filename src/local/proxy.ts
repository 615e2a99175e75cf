import { cannotListen } from "../errors.ts";
import type { Connection, Endpoint, ListenAddress, Listener, ListenHandlers, Runtime } from "../types.ts";

/** What becomes of a local client's connection; resolves when it is over. */
export type Service = (client: Connection) => Promise<void>;

export interface ProxyEvents {
  /** The number of open connections changed. */
  count(open: number): void;
  /** A connection came to nothing, in words for people. */
  failed(message: string): void;
}

/** A listener for local clients. */
export class LocalProxy {
  readonly #listener: Listener;
  readonly #open: Set<Connection>;

  private constructor(listener: Listener, open: Set<Connection>) {
    this.#listener = listener;
    this.#open = open;
  }

  /** Rejects where the address can't be had. */
  static async start(
    runtime: Runtime,
    at: ListenAddress,
    service: Service,
    events: ProxyEvents,
  ): Promise<LocalProxy> {
    const open = new Set<Connection>();
    const handlers: ListenHandlers = {
      connection: (client) => {
        open.add(client);
        events.count(open.size);
        service(client)
          .catch((error: unknown) => events.failed(error instanceof Error ? error.message : String(error)))
          .finally(() => {
            client.abort();
            open.delete(client);
            events.count(open.size);
          });
      },
      acceptFailed: (error) => events.failed(error.message),
    };
    const where = "path" in at ? at.path : `${at.host}:${at.port}`;
    const listener = await runtime.listen(at, handlers).catch((error: unknown) => {
      throw new Error(cannotListen(where, error));
    });
    return new LocalProxy(listener, open);
  }

  get address(): Endpoint {
    return this.#listener.address;
  }

  /** Closes the listener, and what is open with it. */
  async close(): Promise<void> {
    for (const connection of this.#open) connection.abort();
    await this.#listener.close();
  }
}
