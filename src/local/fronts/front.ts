import type { Connection, TlsConnection } from "../../types.ts";

/** What a front needs of its proxy. */
export interface Back {
  /** A new connection to the route. Rejects with words for people. */
  dial(): Promise<Connection>;
  /** Why the router closed a connection before a word, as far as it can be asked. */
  why(): Promise<string>;
  /** TLS with the local client, by the proxy's own certificate. */
  terminate(client: Connection, alpn: string | null): Promise<TlsConnection>;
}

/** Meets a local client in its own protocol, so far as that has to be settled before its stream goes to the router. */
export interface Front {
  /** Resolves with the two streams to join; `null` when there is nothing more to do. */
  open(client: Connection, back: Back): Promise<readonly [client: Connection, router: Connection] | null>;
}

/** The client must be told why: rejects `open` once the client was told in its own words. */
export class ToldClient extends Error {}
