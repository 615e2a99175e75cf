import { createHash, hkdfSync, type X509Certificate } from "node:crypto";
import type { Duplex } from "node:stream";
import { createSecureContext, type SecureContext, TLSSocket } from "node:tls";
import { Refusal } from "../errors.ts";
import type { Connection, TlsConnection, TlsContext, TlsServerOptions } from "../types.ts";
import type { Ends } from "./endpoint.ts";
import { type FlowControl, SocketConnection } from "./socket-connection.ts";

/**
 * Forward-secret, authenticated encryption only (RFC 9325 §4.2); TLS 1.3 has nothing else anyway.
 * Runtimes that have no older suites ignore the list.
 */
const ciphers = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

/** Bytes of the keys that seal tickets, in the one piece that `node:tls` takes. */
const ticketKeyBytes = 48;

/** Keys for everything that the context is made of: another route, certificate or authority has others (RFC 5869). */
function ticketKeys({ tickets, cert, clientCas }: TlsServerOptions): Buffer | undefined {
  if (tickets === undefined) return undefined;
  // Hashed, since HKDF bounds how long its context may be.
  const about = createHash("sha256").update(JSON.stringify([tickets.name, cert, clientCas]));
  const info = `sallyport session tickets ${about.digest("hex")}`;
  return Buffer.from(hkdfSync("sha256", tickets.secret, new Uint8Array(0), info, ticketKeyBytes));
}

/** A `node:tls` context with what the handshake needs beside it. */
export class NodeTlsContext implements TlsContext {
  readonly secureContext: SecureContext;
  readonly requestsCertificate: boolean;

  /** @param authorities that the TLS library is told of: the clients' own, or their names alone; PEM */
  constructor(options: TlsServerOptions, authorities: readonly string[] | null = options.clientCas) {
    this.requestsCertificate = options.clientCas !== null;
    this.secureContext = createSecureContext({
      cert: options.cert,
      key: options.key,
      ciphers,
      // Where a client has no wish but its library's order, AES-128 saves a quarter of what AES-256 costs.
      honorCipherOrder: true,
      minVersion: "TLSv1.2",
      // Without it OpenSSL cuts off every client that resumes a session and was asked for a certificate.
      sessionIdContext: options.sessionContext,
      ...(authorities === null ? {} : { ca: [...authorities] }),
      // Deno and Bun ignore them (2.9, 1.4): there a session is known to the process alone that made it.
      ticketKeys: ticketKeys(options),
    });
  }
}

/** A finished handshake on a `node:tls` socket. */
export class NodeTlsConnection extends SocketConnection implements TlsConnection {
  declare readonly socket: TLSSocket;

  readonly version: string;
  readonly alpn: string | null;
  readonly resumed: boolean;
  #certificate: X509Certificate | undefined;

  constructor(socket: TLSSocket, ends: Ends, flow?: FlowControl) {
    super(socket, ends, flow);
    // Asked once, now: a closed socket no longer knows.
    this.version = socket.getProtocol() ?? "";
    this.alpn = socket.alpnProtocol || null;
    this.resumed = socket.isSessionReused();
  }

  /** Without a close_notify the peer knows that the stream was cut (RFC 8446 §6.1); no TCP reset is needed. */
  override abort(): void {
    this.socket.destroy();
  }

  protected override get copies(): boolean {
    return true;
  }

  peerLeaf(): Uint8Array | null {
    return this.#peer()?.raw ?? null;
  }

  // Only ever through this one call: on Node 20, `getPeerCertificate(true)` after it knows the leaf alone.
  peerChain(): readonly Uint8Array[] {
    return chainOf(this.#peer());
  }

  #peer(): X509Certificate | undefined {
    this.#certificate ??= this.socket.getPeerX509Certificate();
    return this.#certificate;
  }
}

export interface LinkedCertificate {
  readonly raw?: Uint8Array;
  readonly issuerCertificate?: LinkedCertificate | undefined;
}

/** More than anybody sends on purpose are cut. */
export const maxChain = 128;

/**
 * The certificates of a runtime's linked list, whose last one may name itself as its issuer. One that was sent twice,
 * as the leaf is where it also stands in a file of intermediates, counts once; one that comes a third time is the last.
 */
export function chainOf(leaf: LinkedCertificate | undefined): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let again = 0;
  for (let link = leaf; link?.raw !== undefined && chain.length < maxChain; link = link.issuerCertificate) {
    const before = chain[chain.length - 1];
    // A new object for the same certificate on some runtimes: the bytes decide.
    if (before !== undefined && Buffer.compare(before, link.raw) === 0) {
      if (++again > 1) break;
      continue;
    }
    again = 0;
    chain.push(link.raw);
  }
  return chain;
}

/** The server's handshake over a socket that nobody else reads; the ClientHello is already put back in it. */
export function handshake(
  socket: Duplex,
  beneath: Pick<Connection, "remote" | "local" | "closed">,
  context: NodeTlsContext,
  alpn: string | null,
  flow?: FlowControl,
  Finished: typeof NodeTlsConnection = NodeTlsConnection,
): Promise<NodeTlsConnection> {
  const tls = new TLSSocket(socket, {
    isServer: true,
    secureContext: context.secureContext,
    requestCert: context.requestsCertificate,
    // The chain is verified by us, and only by us: runtimes disagree on what they check.
    rejectUnauthorized: false,
    ...(alpn === null ? {} : { ALPNProtocols: [alpn] }),
  });
  return new Promise((resolve, reject) => {
    let cause: Error | undefined;
    let finished = false;
    const failed = (error: Error): void => {
      cause ??= error;
      tls.destroy();
    };
    const closed = (): void => {
      reject(
        new Refusal("handshake_failed", cause?.message ?? "the client went away during the handshake", {
          cause,
        }),
      );
    };
    tls.on("error", failed);
    tls.on("_tlsError", failed);
    tls.once("close", closed);
    // Not every TLS socket closes with what it stands on.
    beneath.closed.then(() => {
      if (finished) return;
      closed();
      tls.destroy();
    });
    tls.once("secure", () => {
      tls.off("error", failed);
      tls.off("_tlsError", failed);
      tls.off("close", closed);
      finished = true;
      tls.disableRenegotiation?.();
      resolve(new Finished(tls, beneath, flow));
    });
  });
}
