import { isIP } from "node:net";
import { checkServerIdentity, createSecureContext, type PeerCertificate } from "node:tls";
import { type Deadline, deadline } from "../core/deadline.ts";
import { Refusal } from "../errors.ts";
import type { TlsClientOptions, TlsConnection } from "../types.ts";
import { BunConnection, type NativeSocket, type SocketOwner, socketHandlers } from "./bun-socket.ts";
import type { Ends } from "./endpoint.ts";
import { noneWithin } from "./socket-dial.ts";
import { chainOf, type NodeTlsContext } from "./tls-connection.ts";
import { clientOptions, untrustedUpstream } from "./tls-dial.ts";
import { weakSignature } from "./weak-signature.ts";

interface NativeTlsSocket extends NativeSocket {
  readonly alpnProtocol: string | false | null;
  /** Whether what the peer showed was verified. */
  readonly authorized: boolean;
  getTLSVersion(): string;
  isSessionReused(): boolean;
  /** The leaf alone, which is all that it looks at. */
  getPeerX509Certificate(): { readonly raw: Uint8Array } | undefined;
  /** The whole list, unless it is to be abbreviated. Dear: it puts everything into words that a certificate says. */
  getPeerCertificate(abbreviated: boolean): PeerCertificate | undefined;
  disableRenegotiation(): void;
}

interface UpgradableSocket extends NativeSocket {
  /** The raw half and the TLS half. `isServer` and `initialData` are what `node:tls` itself uses here. */
  upgradeTLS(options: object): [raw: NativeSocket & Reloadable, tls: NativeTlsSocket] | undefined;
}

interface Reloadable {
  reload(options: { readonly socket: object }): void;
}

/** A finished handshake on Bun's native TLS. */
export class BunTlsConnection extends BunConnection implements TlsConnection {
  declare socket: NativeTlsSocket;

  readonly version: string;
  readonly alpn: string | null;
  readonly resumed: boolean;

  constructor(socket: NativeTlsSocket, ends: Ends) {
    super(socket, true, ends);
    // Asked once, now: a closed socket no longer knows.
    this.version = socket.getTLSVersion();
    this.alpn = socket.alpnProtocol || null;
    this.resumed = socket.isSessionReused();
  }

  /** A close_notify is what says so. */
  protected override get endsByClosing(): boolean {
    return false;
  }

  peerLeaf(): Uint8Array | null {
    return this.socket.getPeerX509Certificate()?.raw ?? null;
  }

  peerChain(): readonly Uint8Array[] {
    return chainOf(this.socket.getPeerCertificate(false));
  }
}

/** ALPN as the native layer takes it: each id behind its length (RFC 7301 §3.1). */
const alpnWire = (ids: readonly string[]): Uint8Array =>
  Uint8Array.from(ids.flatMap((id) => [id.length, ...[...id].map((c) => c.charCodeAt(0))]));

function join(chunks: readonly Uint8Array[]): Uint8Array {
  const [first] = chunks;
  if (first !== undefined && chunks.length === 1) return first;
  return Buffer.concat(chunks);
}

/** One side's part of a handshake. */
interface Side {
  readonly isServer: boolean;
  /** How long it may take, where the caller does not see to that. */
  readonly withinMs: number | null;
  /** What is wrong with a peer with whom the handshake went well. */
  refuses(tls: NativeTlsSocket, unverified: Error | null): Error | undefined;
  /** Ends a socket whose handshake failed. */
  give(tls: NativeTlsSocket): void;
  refusal(cause: Error | undefined): Refusal;
}

/** Owns a socket until its handshake is over. */
class Handshake implements SocketOwner {
  readonly #side: Side;
  readonly #ends: Ends;
  readonly #resolve: (connection: BunTlsConnection) => void;
  readonly #reject: (refusal: Refusal) => void;
  /** What came behind the handshake. */
  readonly #early: Uint8Array[] = [];
  #cause: Error | undefined;
  #done = false;
  #late: Deadline | undefined;

  constructor(
    plain: BunConnection,
    side: Side,
    resolve: (connection: BunTlsConnection) => void,
    reject: (refusal: Refusal) => void,
  ) {
    this.#side = side;
    // Asked now: a closed socket no longer knows.
    this.#ends = { remote: plain.remote, local: plain.local };
    this.#resolve = resolve;
    this.#reject = reject;
    const { withinMs } = side;
    if (withinMs === null) return;
    this.#late = deadline(withinMs, () => {
      this.#cause ??= noneWithin(withinMs);
      plain.abort();
      this.failed();
    });
  }

  onData(chunk: Uint8Array): void {
    this.#early.push(chunk);
  }

  onDrain(): void {}

  onEnd(): void {
    this.failed();
  }

  onClose(error: Error | undefined): void {
    this.#cause ??= error;
    this.failed();
  }

  onError(error: Error): void {
    this.#cause ??= error;
  }

  onHandshake(tls: NativeTlsSocket, success: boolean, error: Error | null): void {
    if (this.#done) return;
    const refused = success ? this.#side.refuses(tls, error) : (error ?? undefined);
    if (!success || refused !== undefined) {
      this.#cause ??= refused;
      this.#side.give(tls);
      this.failed();
      return;
    }
    this.#done = true;
    this.#late?.cancel();
    tls.disableRenegotiation();
    const connection = new BunTlsConnection(tls, this.#ends);
    for (const chunk of this.#early) connection.onData(chunk);
    this.#resolve(connection);
  }

  failed(): void {
    if (this.#done) return;
    this.#done = true;
    this.#late?.cancel();
    this.#reject(this.#side.refusal(this.#cause));
  }
}

/** One set for every socket, here too. */
const tlsHandlers = {
  ...socketHandlers,
  handshake(tls: NativeTlsSocket, success: boolean, error: Error | null): void {
    if (tls.data instanceof Handshake) tls.data.onHandshake(tls, success, error);
  },
};

/** Of the raw half of a socket that has handlers of its own: otherwise each chunk that comes in is copied for it once more. */
const rawHandlers = { socket: { drain(): void {} } };

/** Does a handshake on a native socket, which belongs to TLS from then on. */
function upgraded(plain: BunConnection, side: Side, tls: object): Promise<BunTlsConnection> {
  return new Promise((resolve, reject) => {
    plain.release();
    const initialData = join(plain.takeUnread());
    const data = new Handshake(plain, side, resolve, reject);
    const { isServer } = side;
    const pair = (plain.socket as UpgradableSocket).upgradeTLS(
      // A client that begins has nothing to read yet.
      initialData.length === 0
        ? { isServer, data, tls, socket: tlsHandlers }
        : { isServer, initialData, data, tls, socket: tlsHandlers },
    );
    if (pair === undefined) return data.failed();
    const [raw] = pair;
    plain.handOver(raw);
    if (plain.alone) raw.reload(rawHandlers);
  });
}

const serverSide: Side = {
  isServer: true,
  withinMs: null,
  refuses: () => undefined,
  give: (tls) => tls.terminate(),
  refusal: (cause) =>
    new Refusal("handshake_failed", cause?.message ?? "the client went away during the handshake", { cause }),
};

/** The server's handshake on a native socket; the ClientHello is already put back in it. */
export const terminateNative = (
  plain: BunConnection,
  context: NodeTlsContext,
  alpn: string | null,
): Promise<BunTlsConnection> =>
  upgraded(plain, serverSide, {
    secureContext: context.secureContext.context,
    requestCert: context.requestsCertificate,
    rejectUnauthorized: false,
    ...(alpn === null ? {} : { ALPNProtocols: alpnWire([alpn]) }),
  });

/** What is wrong with a server's certificate, asked here again whatever the runtime made of it. */
function whyUntrusted(tls: NativeTlsSocket, name: string, unverified: Error | null): Error | undefined {
  if (unverified !== null) return unverified;
  const shown = tls.getPeerCertificate(false);
  if (!tls.authorized || shown?.raw === undefined) return new Error("its certificate was not verified");
  return weakSignature(() => shown) ?? checkServerIdentity(name, shown);
}

/**
 * Whether native TLS does as it is told. It always holds the certificate against a name, even where nothing is to be
 * verified, and has no other name for an address than SNI, which has no place for one (RFC 6066 §3, Bun 1.4.5).
 */
export const verifiesNatively = ({ verify, serverName }: TlsClientOptions): boolean =>
  verify && isIP(serverName) === 0;

/**
 * The client's handshake on a native socket that is connected, for whom `verifiesNatively` says yes.
 *
 * @param where whom it is with, for messages
 */
export const secureNative = (
  plain: BunConnection,
  options: TlsClientOptions,
  withinMs: number,
  where: string,
): Promise<BunTlsConnection> => {
  const { serverName, alpn } = options;
  const side: Side = {
    isServer: false,
    withinMs,
    refuses: (tls, unverified) => whyUntrusted(tls, serverName, unverified),
    give: (tls) => tls.end(),
    refusal: (cause) => untrustedUpstream(where, cause),
  };
  return upgraded(plain, side, {
    secureContext: createSecureContext(clientOptions(options)).context,
    requestCert: true,
    rejectUnauthorized: true,
    serverName,
    ...(alpn === undefined ? {} : { ALPNProtocols: alpnWire(alpn) }),
  });
};
