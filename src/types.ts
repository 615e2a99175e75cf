import type { Cancellation, HttpClient, HttpDial, HttpProtocol, HttpServing } from "./http/exchange.ts";

/**
 * The core interfaces: what the core needs of a runtime, and what an adapter needs of the core.
 * Everything else is an implementation of these or a value that passes through them.
 */

/** One end of a TCP connection. */
export interface Endpoint {
  /** An IP literal, without brackets, IPv4-mapped IPv6 written as IPv4. */
  readonly address: string;
  readonly port: number;
}

/**
 * A byte stream with half-close. At most one `read` is under way at a time. A runtime keeps its own
 * socket behind it; nobody else looks there.
 */
export interface Connection {
  readonly remote: Endpoint;
  readonly local: Endpoint;
  /** Payload bytes taken from the peer so far, the relay's included; bytes put back count once. */
  readonly bytesRead: number;
  /** Payload bytes handed to the peer so far, the relay's included. */
  readonly bytesWritten: number;
  /** The next bytes, or `null` once the peer has closed its sending side. Rejects when the connection broke. */
  read(): Promise<Uint8Array | null>;
  /** Puts bytes back: the next `read`, `terminate` or `relay` sees them first. */
  unread(bytes: Uint8Array): void;
  /** Resolves when the bytes are handed over and there is room for more. Rejects when the connection broke. */
  write(bytes: Uint8Array): Promise<void>;
  /** `write` of several parts as one, without joining them first where that is not needed. They are given away. */
  writev?(parts: readonly Uint8Array[]): Promise<void>;
  /** Closes our sending side after what was written; the peer may go on sending. */
  closeWrite(): Promise<void>;
  /**
   * Ends both directions at once. Safe to call again. `reset` tells the peer that the stream was cut
   * (TCP RST) where the runtime can.
   */
  abort(how?: "close" | "reset"): void;
  /** The router itself makes it wait, to hold its peer to a rate: that it is silent says nothing. */
  readonly waits?: boolean;
  /** Settles (never rejects) when the connection is gone in both directions. */
  readonly closed: Promise<void>;
}

/** A connection that takes bytes without waiting. */
export interface PushedConnection extends Connection {
  /** Writes without waiting: false when the source should be held until `drained` is called. */
  push(chunk: Uint8Array): boolean;
  /** Whether the last `push` was done with its bytes when it returned. */
  readonly took: boolean;
  set drained(callback: () => void);
}

/** A connection that gives its bytes as events, too. */
export interface EventedConnection extends PushedConnection {
  /** The error that ended it, if one did. */
  readonly broke: Error | undefined;
  /** Called once when it is gone, which may be within a call of ours. For one alone: others wait for `closed`. */
  set whenGone(callback: () => void);
  /**
   * From now on every chunk goes straight to `sink` (`null`: the peer has closed its sending half), which
   * says whether it needs the bytes no more. Until somebody calls `read` again.
   */
  pipeTo(sink: (chunk: Uint8Array | null) => boolean): void;
  /** What went to the sink is needed no more by now: its memory may be used again. */
  reclaim?(): void;
  /** `closeWrite` for callers that don't wait. */
  endWrite(): void;
  hold(): void;
  release(): void;
}

/** A connection after its TLS handshake, whichever side we are. A write while another is under way follows it. */
export interface TlsConnection extends Connection {
  /** `TLSv1.2` or `TLSv1.3`. */
  readonly version: string;
  readonly alpn: string | null;
  readonly resumed: boolean;
  /** The peer's own certificate in DER, or `null` when it sent none. Unverified. */
  peerLeaf(): Uint8Array | null;
  /** What the peer sent, DER, leaf first; after a resumption as far as the runtime kept it. Unverified. */
  peerChain(): readonly Uint8Array[];
}

export interface Listener {
  readonly address: Endpoint;
  /** Stops accepting; connections already accepted live on. */
  close(): Promise<void>;
}

/** A TCP address, or the path of a Unix socket. */
export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/**
 * Where several processes listen, so that each gets connections: a socket that all of them inherited, or, on runtimes
 * that take none, a port at which each has a socket of its own.
 */
export type SharedAddress =
  | { readonly fd: number }
  | { readonly host: string; readonly port: number; readonly shared: true };

export interface ListenHandlers {
  /** Asked before anything is made of a connection: one that may not come is reset, unread. Absent: all may. */
  mayCome?(remote: Endpoint): boolean;
  connection(connection: Connection): void;
  /** Accepting failed (too many open files …); the listener backs off and goes on by itself. */
  acceptFailed(error: Error): void;
}

/** The server's half of a handshake: made once a route and certificate, never shared between routes. */
export interface TlsServerOptions {
  /** PEM, leaf first. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  /** PEM of the authorities to name in the request, or `null`: ask for no client certificate. */
  readonly clientCas: readonly string[] | null;
  /** Keeps sessions of different routes apart; at most 32 ASCII characters. */
  readonly sessionContext: string;
  /**
   * What the keys of session tickets are derived from, together with certificate and authorities: contexts that have
   * all of it in common take each other's tickets. Without it a context has keys of its own. Not every runtime lets
   * keys be set.
   */
  readonly tickets?: { readonly secret: Uint8Array; readonly name: string };
}

/** Opaque: a runtime's prepared TLS server state. */
export interface TlsContext {
  readonly requestsCertificate: boolean;
}

/** The client's half of a handshake, towards an upstream. */
export interface TlsClientOptions {
  /** The name to send and to verify. */
  readonly serverName: string;
  /** `false` only where the operator wrote `upstream_tls=insecure`. */
  readonly verify: boolean;
  /** PEM trust anchors; `null` means the system's. */
  readonly ca: readonly string[] | null;
  readonly cert: string | null;
  readonly key: string | null;
  /** The protocols to offer; none where it is absent. */
  readonly alpn?: readonly string[];
}

export interface DialTarget {
  readonly host: string;
  readonly port: number;
  /** For all of it, the TLS handshake included. */
  readonly withinMs: number;
  /** Sent before anything else, before TLS too: the PROXY header. */
  readonly preamble?: Uint8Array;
  readonly tls?: TlsClientOptions;
}

export interface RelayLimits {
  /** Milliseconds without a byte either way. */
  readonly idleMs: number;
  /** The same once one side has closed its sending half. */
  readonly halfCloseMs: number;
}

export interface ServingLimits extends RelayLimits {
  /** From a request's first byte, or where it is the first one from the handshake, to the end of its head; a minute unless set. */
  readonly headMs?: number;
}

/**
 * Looks at what passes one way: gives what is sent in its place, views on it for the most part. Keeps copies alone of
 * what it was given. What it throws ends the relay.
 */
export type Tap = (chunk: Uint8Array) => readonly Uint8Array[];

/** What each side of a relay says is looked at by. Asked for with every chunk: a tap may come and go. */
export interface Taps {
  readonly left?: Tap | undefined;
  readonly right?: Tap | undefined;
}

/** How a relay ended. `left` and `right` are its two connections in the order given. */
export type RelayEnd = "done" | "idle" | "left_broke" | "right_broke";

/** A sink of log lines that never blocks the caller. */
export interface LineSink {
  write(line: string): void;
  /** Writes out what is pending. */
  close(): Promise<void>;
}

export interface Runtime {
  readonly name: "node" | "deno" | "bun";
  readonly version: string;
  readonly processId: number;
  /** Whether its TLS shows certificates with critical extensions that it does not know itself. */
  readonly showsAnyCertificate: boolean;
  listen(at: ListenAddress | SharedAddress, handlers: ListenHandlers): Promise<Listener>;
  /** Rejects with a `Refusal`: `upstream_unreachable`, or `upstream_refused` when its TLS is at fault. */
  dial(target: DialTarget): Promise<Connection>;
  /** A connection to a Unix socket of this machine. Rejects where nobody answers there. */
  dialLocal(path: string): Promise<Connection>;
  /** Throws when key or certificate can't be used. */
  tlsContext(options: TlsServerOptions): TlsContext;
  /** The server's handshake, over any connection. `alpn` is the one protocol to agree on; `null` when the client offered none. */
  terminate(connection: Connection, context: TlsContext, alpn: string | null): Promise<TlsConnection>;
  /** The client's handshake over any connection. Rejects with a `Refusal`, as `dial` does. */
  secure(connection: Connection, options: TlsClientOptions, withinMs: number): Promise<TlsConnection>;
  /**
   * Carries bytes both ways, half-closes included, until both are done or something ends it. Closes both. Rejects
   * with what a tap throws, and with nothing else.
   */
  relay(left: Connection, right: Connection, limits: RelayLimits, taps?: Taps): Promise<RelayEnd>;
  sha256Hex(data: string | Uint8Array): string;
  /** For logins that know nothing better. */
  md5Hex(data: Uint8Array): string;
  /**
   * Serves HTTP on an accepted connection, HTTP/2 where `alpn` is `h2`; resolves when it is over.
   * Once `draining` is aborted, what is under way is finished and then the connection closed.
   */
  serveHttp(
    connection: Connection,
    alpn: string | null,
    serving: HttpServing,
    draining: Cancellation,
    limits: ServingLimits,
  ): Promise<void>;
  /** Requests over connections that `dial` makes. */
  httpClient(protocol: HttpProtocol, dial: HttpDial): HttpClient;
}
