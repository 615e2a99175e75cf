import type { Endpoint } from "../types.ts";

const mapped = "::ffff:";

export const endpoint = (address: string | undefined, port: number | undefined): Endpoint => ({
  address: address?.startsWith(mapped) ? address.slice(mapped.length) : (address ?? ""),
  port: port ?? 0,
});

/** Of a Unix socket. */
export const noEndpoint: Endpoint = { address: "", port: 0 };

/** Both ends of a connection, as far as somebody knows them better than its socket. */
export interface Ends {
  readonly remote: Endpoint;
  readonly local: Endpoint;
}

interface Addressed {
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
}

/** The ends of a socket, each asked of it when somebody wants to know: of most connections to upstreams nobody does. */
export class SocketEnds implements Ends {
  readonly #socket: Addressed;
  #remote: Endpoint | undefined;
  #local: Endpoint | undefined;

  constructor(socket: Addressed) {
    this.#socket = socket;
  }

  get remote(): Endpoint {
    this.#remote ??= endpoint(this.#socket.remoteAddress, this.#socket.remotePort);
    return this.#remote;
  }

  get local(): Endpoint {
    this.#local ??= endpoint(this.#socket.localAddress, this.#socket.localPort);
    return this.#local;
  }
}
