import type { Refusal } from "../errors.ts";
import type { HttpClient, HttpServing } from "../http/exchange.ts";
import type { Identity } from "../identity/identity.ts";
import type { Connection, Endpoint, TlsConnection } from "../types.ts";
import type { Arrival } from "./arrival.ts";
import type { Route } from "./route.ts";

/** An admitted connection, as its adapter sees it: everything an adapter needs, and its only way to the world. */
export interface Session {
  readonly route: Route;
  readonly arrival: Arrival;
  /** The client. After TLS on routes that terminate; the untouched bytes, ClientHello first, on those that don't. */
  readonly client: Connection;
  /** `null` on routes that pass TLS through. */
  readonly tls: TlsConnection | null;
  /** As asked for in SNI, normalised by nobody; `null` without one. */
  readonly serverName: string | null;
  readonly alpn: string | null;
  readonly identity: Identity | null;
  /** The client's address, behind a trusted PROXY header where there is one. */
  readonly source: Endpoint;
  /** The router began to drain: end when what is under way is done. */
  readonly draining: AbortSignal;
  /** `host:port` of the upstream after captures; empty for the router's own app. */
  readonly upstream: string;
  /** A new connection to the route's upstream: PROXY header and TLS as the route says. Throws a `Refusal`. */
  dial(): Promise<Connection>;
  /** Carries bytes both ways until both sides are done. Throws a `Refusal` where it did not end well. */
  relay(upstream: Connection): Promise<void>;
  /** The same for two streams of which neither is the client's own, such as those behind an HTTP upgrade. */
  carry(left: Connection, right: Connection): Promise<void>;
  /** HTTP on the client's connection. */
  serveHttp(serving: HttpServing): Promise<void>;
  /** HTTP to the upstream, over connections like those of `dial`. */
  httpClient(protocol: "http/1.1" | "h2"): HttpClient;
  /** Something went wrong that did not end the connection; the record says the first such thing. */
  note(refusal: Refusal): void;
}

/** Speaks one protocol after the handshake. */
export interface Adapter {
  readonly name: string;
  /** Resolves when the connection is done with; throws a `Refusal` where it went wrong. */
  handle(session: Session): Promise<void>;
  /** Tells a client that it is refused, in the protocol's own words, where there are any. */
  refuse?(session: Session, refusal: Refusal): Promise<void>;
}
