import type { Reason } from "./errors.ts";
import type { ClientHello } from "./wire/client-hello.ts";

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
  /** Payload bytes so far, counted by whoever reads and writes, the relay included. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** The next bytes, or `null` once the peer has closed its sending side. Throws when the connection broke. */
  read(): Promise<Uint8Array | null>;
  /** Puts bytes back: the next `read`, `terminate` or `relay` sees them first. */
  unread(bytes: Uint8Array): void;
  /** Resolves when the bytes are handed over and there is room for more. */
  write(bytes: Uint8Array): Promise<void>;
  /** Closes our sending side; the peer may go on sending. */
  closeWrite(): Promise<void>;
  /** Ends both directions at once. `reset` asks for a TCP RST rather than a FIN. Safe to call again. */
  abort(how?: "close" | "reset"): void;
  /** Settles (never rejects) when the connection is gone in both directions. */
  readonly closed: Promise<void>;
}

/** A connection after its TLS handshake. */
export interface TlsConnection extends Connection {
  /** `TLSv1.2` or `TLSv1.3`. */
  readonly version: string;
  readonly cipher: string;
  readonly alpn: string | null;
  readonly resumed: boolean;
  /** DER, leaf first, as the peer sent it (on resumption: as far as the runtime kept it). Nothing here is verified. */
  readonly peerChain: readonly Uint8Array[];
}

export type { ClientHello, Reason };
