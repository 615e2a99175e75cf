import type { Refusal } from "../errors.ts";
import type { Cancellation, HttpClient, HttpServing } from "../http/exchange.ts";
import type { CertificateIdentity, Identity } from "../identity/identity.ts";
import type { ForwardRequest } from "../peer/wire.ts";
import type { Connection, Endpoint, Taps, TlsConnection } from "../types.ts";
import type { Parsed } from "../wire/cursor.ts";
import type { Arrival } from "./arrival.ts";
import type { CertificateAndKey } from "./contexts.ts";
import type { Gate } from "./gate.ts";
import type { Route, UpstreamToken } from "./route.ts";

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
  /** By the client's certificate. */
  readonly identity: CertificateIdentity | null;
  /** The URIs in the certificate that the client was shown, as they stand there. */
  readonly shownUris: readonly string[];
  /** Judges requests one by one, where clients without a certificate may show otherwise who they are. */
  readonly gate: Gate | null;
  /** The client's address, behind a trusted PROXY header where there is one. */
  readonly source: Endpoint;
  /** The router drains, and it is this connection's turn: it is to end when what is under way is done. */
  readonly draining: Cancellation;
  /**
   * `host:port` of the upstream after captures, or `agent/service` where an agent publishes it; empty for the router's
   * own.
   */
  readonly upstream: string;
  /** What the server name has where the route's name has captures. */
  readonly captures: Readonly<Record<string, string>>;
  /** The connection's id in the audit log. */
  readonly id: string;
  /** A new connection to the route's upstream: PROXY header and TLS as the route says. Throws a `Refusal`. */
  dial(): Promise<Connection>;
  /** The same without TLS, for protocols that begin it inside: `secure` is how. */
  dialPlain(): Promise<Connection>;
  /** TLS with the upstream, as the route says, over a connection of `dialPlain`. Throws a `Refusal`. */
  secure(upstream: Connection, options?: SecureOptions): Promise<TlsConnection>;
  /** A client certificate that the authority makes for a user of the upstream. Throws a `Refusal`. */
  mint(user: string): Promise<CertificateAndKey>;
  /** The bearer token that the upstream knows the router by, as it is now. Throws a `Refusal`. */
  upstreamToken(token: UpstreamToken): string;
  /** A signed word for the upstream on who the client is; `null` where what said so is past its end. */
  assertion(identity: Identity): Promise<string | null>;
  /**
   * Carries bytes both ways until both sides are done. Throws a `Refusal` where it did not end well, or what a tap
   * throws; the client is on the left.
   */
  relay(upstream: Connection, taps?: Taps): Promise<void>;
  /** Dials, then relays: all that there is to do for a protocol that nobody looks into. */
  forward(): Promise<void>;
  /** The same as `relay` for two streams of which one is not the client's own, or neither, such as those behind an HTTP upgrade. */
  carry(left: Connection, right: Connection, taps?: Taps): Promise<void>;
  /** HTTP on the client's connection. */
  serveHttp(serving: HttpServing): Promise<void>;
  /**
   * HTTP to the upstream's servers, over connections that the clients of the route share; where each is to be told of
   * its client by a PROXY header, over this session's own, which end with it.
   */
  httpClient(): HttpClient;
  /** Something went wrong that did not end the connection; the record says the first such thing. */
  note(refusal: Refusal): void;
  /** It ended well because the router drains: said in the record. */
  movedOn(detail: string): void;
  /** What both sides are, by their own word: said in the record. */
  identified(software: Software): void;
  /** Who opened which database: said in the record, and of every statement. */
  opened(database: DatabaseSession): void;
  /** A request was let in for somebody who signed in: said in the record. */
  signedIn(identity: Identity, login: string): void;
  /** The connection is an agent's, which publishes services: said in the record. */
  published(agent: PublishedAgent): void;
  /** One line of the audit log about one statement; nothing where the route does not ask for it. */
  statement(statement: Statement): void;
  /** One line of the audit log about one request to a Kubernetes API; nothing where the route does not want it. */
  apiRequest(request: ApiRequest): void;
  /** One line of the audit log about one stream that another router asked for. */
  forwarded(stream: ForwardedStream): void;
}

export interface SecureOptions {
  /** Shown instead of the route's own. */
  readonly certificate?: CertificateAndKey;
  readonly alpn?: readonly string[];
}

/** What an agent says that it publishes. */
export interface PublishedAgent {
  readonly name: string;
  readonly services: readonly string[];
  readonly version: string;
}

/** What client and server say they are: printable, and not to be believed. `null`: it has not said so. */
export interface Software {
  readonly client: string | null;
  readonly server: string | null;
}

/** A session in a database. */
export interface DatabaseSession {
  /** Whom the upstream has it from. */
  readonly user: string;
  /** Whom the client asked to be, where that is somebody else. */
  readonly askedUser?: string;
  /** The database; `null` where there is none. */
  readonly name: string | null;
}

/** What became of one statement. */
export interface Statement {
  readonly text: string;
  /** How much of it is not in `text`, in characters. */
  readonly omitted?: number;
  /** The upstream's error code; `null`: it went well. */
  readonly error: string | null;
  readonly rows: number | null;
  readonly durationMs: number;
}

/** What a request to a Kubernetes API was for, in the words of its RBAC rules, and what became of it. */
export interface ApiRequest {
  /** False for the line about one that goes on for long, when its answer begins. */
  readonly over: boolean;
  readonly verb: string;
  /** `null` where the request is for no resource; the core group is "". */
  readonly group: string | null;
  readonly resource: string | null;
  readonly subresource: string | null;
  readonly namespace: string | null;
  readonly name: string | null;
  /** Without its query. */
  readonly path: string;
  /** Whom the API server was asked to act as; `null`: nobody, or it was not asked. */
  readonly user: string | null;
  readonly groups: readonly string[];
  /** Whether the client asked to act as that user. */
  readonly asked: boolean;
  /** Of the answer; `null` where there was none. */
  readonly status: number | null;
  /** What the API server's own audit log calls it. */
  readonly auditId: string | null;
  /** What went wrong on our side of it; `null`: nothing. */
  readonly refusal: Refusal | null;
  readonly durationMs: number;
}

/** What became of a stream that another router asked for. */
export interface ForwardedStream {
  readonly target: ForwardRequest;
  /** Payload bytes from the client, and to it. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Why it came to nothing, or did not end well; `null`: it did. */
  readonly refusal: Refusal | null;
  readonly durationMs: number;
}

/** Speaks with an admitted client, or with one that is refused. */
export interface Handler {
  /** Resolves when the connection is done with; throws a `Refusal` where it went wrong. */
  handle(session: Session): Promise<void>;
  /** Tells a client that it is refused, in the protocol's own words, where there are any. */
  refuse?(session: Session, refusal: Refusal): Promise<void>;
}

/** What an adapter knows of a connection that has not got to its ClientHello. */
export interface Clear {
  /** The route whose own listener it came to; `null` where its name will say the route. */
  readonly own: Route | null;
  readonly source: Endpoint;
}

/** How clients of a protocol that begins in the clear come to their ClientHello. */
export interface Opening {
  /**
   * Whether a connection begins so. `null` where the server speaks first: then all connections do, to listeners of
   * the protocol's own and to no others.
   */
  readonly begins: ((bytes: Uint8Array) => Parsed<true>) | null;
  /**
   * Leads to the ClientHello: resolves with who handles the connection from there, which is then a route's of this
   * adapter and of no other; `null` where all is said and done. Reads nothing of the ClientHello, or puts it back.
   * Throws a `Refusal`.
   */
  lead(client: Connection, clear: Clear): Promise<Handler | null>;
}

/** Speaks one protocol after the handshake. */
export interface Adapter extends Handler {
  readonly name: string;
  readonly opening?: Opening;
}
