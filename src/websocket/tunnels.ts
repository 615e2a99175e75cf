import type { Arrival } from "../core/arrival.ts";
import type { Upgrade } from "../http/fetch.ts";
import { forwardedFor } from "../http/forwarded.ts";
import type { Connection, Endpoint } from "../types.ts";
import type { Cidr } from "../wire/ip.ts";
import { WebSocketConnection } from "./connection.ts";
import { acceptOf } from "./handshake.ts";

/** A request for a tunnel, and whom it came from. */
export interface TunnelRequest {
  readonly headers: Headers;
  readonly source: Endpoint;
  readonly arrival: Arrival;
  readonly upgrade: Upgrade;
}

const refused = (status: number, reason: string, detail: string): Response =>
  Response.json({ error: { reason, detail } }, { status });

/** Takes connections out of WebSocket upgrades, and hands them to the router as it would have accepted them. */
export class Tunnels {
  readonly #accept: (connection: Connection, arrival: Arrival) => Promise<void>;
  readonly #forwardedFrom: readonly Cidr[];

  constructor(
    accept: (connection: Connection, arrival: Arrival) => Promise<void>,
    forwardedFrom: readonly Cidr[],
  ) {
    this.#accept = accept;
    this.#forwardedFrom = forwardedFrom;
  }

  /** @param key the client's `Sec-WebSocket-Key` */
  async open({ headers, source, arrival, upgrade }: TunnelRequest, key: string): Promise<Response> {
    if (arrival.tunnelled) return refused(400, "protocol_error", "a tunnel inside a tunnel");
    // Browsers always say where a page is from. No page has business here, least of all from inside the networks
    // that `source=` admits.
    if (headers.has("origin")) return refused(403, "protocol_error", "tunnels are not for web pages");
    const address = forwardedFor(headers.get("x-forwarded-for"), source.address, this.#forwardedFrom);
    if (address === null) return refused(400, "protocol_error", "an X-Forwarded-For that holds no address");
    const client = address === source.address ? source : { address, port: 0 };
    const accept = await acceptOf(key);
    try {
      return upgrade(
        [
          ["upgrade", "websocket"],
          ["connection", "Upgrade"],
          ["sec-websocket-accept", accept],
        ],
        async (connection) => {
          const tunnel = new WebSocketConnection(connection, "server", client);
          await this.#accept(tunnel, {
            own: null,
            only: null,
            listener: `tunnel:${arrival.listener}`,
            tunnelled: true,
          });
          // What was said last may still be on its way, and the carrier goes with this.
          await tunnel.closed;
        },
      );
    } catch {
      return refused(426, "protocol_error", "expected a WebSocket upgrade over HTTP/1.1");
    }
  }
}
