import { Refusal } from "../errors.ts";
import type { Endpoint, TlsConnection } from "../types.ts";
import { sharedPlace } from "./bulk-places.ts";
import { type GatheredReads, gatheredReads, recordBytes } from "./gathered-reads.ts";
import type { HandleConnection } from "./handle-connection.ts";
import { HandleStream } from "./handle-stream.ts";
import type { CertificateHandle, Handles, TlsHandle } from "./handles.ts";
import { copied } from "./pooled-reads.ts";
import { connectionClosed } from "./relay.ts";
import { chainOf, type LinkedCertificate, type NodeTlsContext } from "./tls-connection.ts";

function onStarted(this: TlsHandle): void {
  (this.connection as HandleTlsConnection).handshakeStarts();
}

function onDone(this: TlsHandle): void {
  (this.connection as HandleTlsConnection).handshakeDone();
}

function onError(this: TlsHandle, error: Error): void {
  (this.connection as HandleTlsConnection | undefined)?.wentWrong(error);
}

/** A list of one (RFC 7301 §3.1). */
function alpnList(protocol: string): Uint8Array {
  const name = Buffer.from(protocol, "latin1");
  return Buffer.concat([Uint8Array.of(name.length), name]);
}

class LinkedHandle implements LinkedCertificate {
  readonly raw: Uint8Array;
  readonly #handle: CertificateHandle;

  constructor(handle: CertificateHandle) {
    this.#handle = handle;
    this.raw = handle.raw();
  }

  get issuerCertificate(): LinkedCertificate | undefined {
    return linked(this.#handle.getIssuerCert());
  }
}

const linked = (certificate: CertificateHandle | undefined): LinkedCertificate | undefined =>
  certificate && new LinkedHandle(certificate);

/**
 * TLS that was accepted, by the engine that `node:tls` stands on, without its sockets: each costs three streams, which
 * is more memory than all else that an idle connection takes.
 */
export class HandleTlsConnection extends HandleStream implements TlsConnection {
  declare protected readonly handle: TlsHandle;
  readonly beneath: HandleConnection;
  version = "";
  alpn: string | null = null;
  resumed = false;
  #handshake: { done(): void; failed(error: Error | undefined): void } | null = null;
  #started = false;
  /** Once full records come. */
  #gathered: GatheredReads | null = null;
  #certificate: CertificateHandle | undefined;

  constructor(handles: Handles, handle: TlsHandle, beneath: HandleConnection) {
    super(handles, handle);
    this.beneath = beneath;
    beneath.atEnd = this.#atEnd.bind(this);
  }

  get closed(): Promise<void> {
    return this.beneath.closed;
  }

  get remote(): Endpoint {
    return this.beneath.remote;
  }

  get local(): Endpoint {
    return this.beneath.local;
  }

  /** The engine encrypts within the call. */
  protected get copies(): boolean {
    return true;
  }

  /** A close_notify is what says so. */
  protected get endsByClosing(): boolean {
    return false;
  }

  /**
   * The handshake, of which these bytes were read already. Rejects with what the engine says, or with nothing where the
   * client went away.
   */
  accept(read: readonly Uint8Array[]): Promise<void> {
    const { handle } = this;
    return new Promise((resolve, reject) => {
      this.#handshake = { done: resolve, failed: reject };
      handle.onhandshakestart = onStarted;
      handle.onhandshakedone = onDone;
      handle.onerror = onError;
      this.beginReading();
      for (const bytes of read) handle.receive(bytes);
    });
  }

  handshakeStarts(): void {
    // Renegotiation, which TLS 1.3 has none of.
    if (this.#started && this.handle.getProtocol() !== "TLSv1.3")
      this.wentWrong(new Error("TLS session renegotiation disabled for this socket"));
    this.#started = true;
  }

  handshakeDone(): void {
    const handshake = this.#handshake;
    if (handshake === null || this.closing) return;
    this.#handshake = null;
    const { handle } = this;
    // Asked once, now: a closed connection no longer knows.
    this.version = handle.getProtocol() ?? "";
    this.alpn = handle.getALPNNegotiatedProtocol() || null;
    this.resumed = handle.isSessionReused();
    handshake.done();
  }

  wentWrong(error: Error): void {
    this.breaks(error);
  }

  // The handshake has asked for the first read; what comes before anybody wants it waits, up to a point.
  protected override start(): void {}

  protected firstPlace(): Uint8Array {
    return sharedPlace;
  }

  protected filled(count: number): Uint8Array | undefined {
    const gathered = this.#gathered;
    const { place } = this;
    if (gathered === null) {
      if (count < recordBytes) {
        this.take(copied(sharedPlace, count));
        return undefined;
      }
      // More of the like is to come.
      const reads = gatheredReads((chunk) => this.take(chunk));
      this.#gathered = reads;
      reads.copy(sharedPlace.subarray(0, count));
      return reads.buffer();
    }
    gathered.callback(count, place);
    return gathered.buffer();
  }

  protected override stopped(status: number): void {
    this.#gathered?.flush();
    if (this.#handshake === null || status !== this.handles.endOfFile) super.stopped(status);
    else this.abort();
  }

  /** Without a close_notify the peer knows that the stream was cut (RFC 8446 §6.1); no TCP reset is needed. */
  abort(): void {
    if (this.closing) return;
    this.closing = true;
    this.beneath.abort();
  }

  #atEnd(): void {
    this.closing = true;
    const handshake = this.#handshake;
    this.#handshake = null;
    handshake?.failed(this.broke);
    this.lost();
    this.handle.connection = undefined;
    this.handle.destroySSL();
  }

  peerLeaf(): Uint8Array | null {
    return this.#peer()?.raw() ?? null;
  }

  peerChain(): readonly Uint8Array[] {
    return chainOf(linked(this.#peer()));
  }

  // Asked for once: on Node 20 the second one would know the leaf alone.
  #peer(): CertificateHandle | undefined {
    if (!this.gone) this.#certificate ??= this.handle.getPeerX509Certificate();
    return this.#certificate;
  }
}

/** The server's handshake on a connection's own handle. Rejects with a `Refusal`. */
export async function terminateOnHandle(
  connection: HandleConnection,
  context: NodeTlsContext,
  alpn: string | null,
): Promise<TlsConnection> {
  try {
    const { handles } = connection;
    const { handle, read } = await connection.surrender();
    // From here on its end is told to TLS on it; one that is gone already has nobody to tell.
    if (connection.gone) throw connection.broke ?? connectionClosed;
    const engine = handles.secure(handle, context.secureContext.context, true, false);
    engine.beneath = handle;
    engine.context = context.secureContext;
    if (context.requestsCertificate) engine.setVerifyMode(true, false);
    if (alpn !== null) engine.setALPNProtocols(alpnList(alpn));
    const tls = new HandleTlsConnection(handles, engine, connection);
    await tls.accept(read);
    return tls;
  } catch (error) {
    const cause = error === connectionClosed ? undefined : (error as Error | undefined);
    throw new Refusal("handshake_failed", cause?.message ?? "the client went away during the handshake", {
      cause,
    });
  }
}
