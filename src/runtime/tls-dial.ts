import { isIP, type SocketConstructorOpts } from "node:net";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, checkServerIdentity, connect as connectTls, type TLSSocket } from "node:tls";
import { deadline } from "../core/deadline.ts";
import { Refusal } from "../errors.ts";
import type { DialTarget, TlsClientOptions } from "../types.ts";
import { type Ends, SocketEnds } from "./endpoint.ts";
import { gatheredReads } from "./gathered-reads.ts";
import { placeReads } from "./placed-reads.ts";
import type { FlowControl } from "./socket-connection.ts";
import { dialSocket, keepAliveMs, noneWithin, tooLate, unreachable } from "./socket-dial.ts";
import { NodeTlsConnection } from "./tls-connection.ts";
import { weakSignature } from "./weak-signature.ts";

/** Why a server that the runtime let through is none to trust under that name or address. */
function whyUntrusted(tls: TLSSocket, name: string): Error | undefined {
  if (!tls.authorized) return new Error(String(tls.authorizationError));
  return (
    checkServerIdentity(name, tls.getPeerCertificate()) ?? weakSignature(() => tls.getPeerCertificate(true))
  );
}

/** TLS over a socket that is connected first. */
export async function dialTlsOverSocket(
  target: DialTarget,
  options: TlsClientOptions,
): Promise<NodeTlsConnection> {
  const socket = await dialSocket(target, undefined);
  if (target.preamble !== undefined) socket.write(target.preamble);
  const where = `${target.host}:${target.port}`;
  return clientHandshake(socket, new SocketEnds(socket), options, target.withinMs, where);
}

/** TLS on a socket of its own, which alone can say where its reads are to go. */
export function dialTls(target: DialTarget, options: TlsClientOptions): Promise<NodeTlsConnection> {
  const { host, port, withinMs, preamble } = target;
  if (preamble !== undefined || isIP(options.serverName) !== 0) return dialTlsOverSocket(target, options);
  let connection: NodeTlsConnection | undefined;
  const reads = gatheredReads((chunk) => connection?.take(chunk) ?? false);
  return new Promise((resolve, reject) => {
    const own: ConnectionOptions & Pick<SocketConstructorOpts, "allowHalfOpen" | "onread"> = {
      ...clientOptions(options),
      host,
      port,
      allowHalfOpen: true,
      onread: reads,
    };
    const tls = connectTls(own);
    let connected = false;
    tls.once("connect", () => {
      connected = true;
      tls.setNoDelay(true);
      tls.setKeepAlive(true, keepAliveMs);
    });
    finishHandshake(
      tls,
      options,
      withinMs,
      (error) => {
        if (connected) reject(untrustedUpstream(`${host}:${port}`, error));
        else reject(unreachable(target, error ?? tooLate(target)));
      },
      () => {
        connection = new NodeTlsConnection(tls, new SocketEnds(tls));
        // Before the connection's own listeners, which come with the first read.
        tls.once("end", reads.flush);
        resolve(connection);
      },
    );
  });
}

export const clientOptions = (options: TlsClientOptions): ConnectionOptions => ({
  // SNI has no place for an address (RFC 6066 §3); the certificate must be for it all the same.
  ...(isIP(options.serverName) === 0 ? { servername: options.serverName } : { host: options.serverName }),
  rejectUnauthorized: options.verify,
  minVersion: "TLSv1.2",
  ...(options.ca === null ? {} : { ca: [...options.ca] }),
  ...(options.cert === null ? {} : { cert: options.cert }),
  ...(options.key === null ? {} : { key: options.key }),
  ...(options.alpn === undefined ? {} : { ALPNProtocols: [...options.alpn] }),
});

export const untrustedUpstream = (where: string, cause: Error | undefined): Refusal =>
  new Refusal(
    "upstream_refused",
    `${where}: ${cause?.message ?? "it closed the connection during the TLS handshake"}`,
    { cause },
  );

/**
 * The client's handshake, over a stream that is already connected.
 *
 * @param where whom it is with, for messages
 */
export function clientHandshake(
  socket: Duplex,
  ends: Ends,
  options: TlsClientOptions,
  withinMs: number,
  where: string,
  flow?: FlowControl,
  Finished: typeof NodeTlsConnection = NodeTlsConnection,
): Promise<NodeTlsConnection> {
  return new Promise((resolve, reject) => {
    const tls = connectTls({ ...clientOptions(options), socket });
    finishHandshake(
      tls,
      options,
      withinMs,
      (error) => reject(untrustedUpstream(where, error)),
      () => resolve(new Finished(tls, ends, flow)),
    );
  });
}

/** TLS on a stream that was there before, where every record's content comes in a buffer and an event of its own. */
export class GatheredTlsConnection extends NodeTlsConnection {
  readonly #reads = gatheredReads((chunk) => this.take(chunk));

  constructor(socket: TLSSocket, ends: Ends, flow?: FlowControl) {
    super(socket, ends, flow);
    // Before the connection's own listener, which comes with the first read.
    socket.once("end", this.#reads.flush);
  }

  protected override starts(): void {
    // What came before anybody wanted it: all of it in one piece, or newer Node piece by piece.
    const waiting: Uint8Array[] = [];
    for (let chunk = this.#waiting(); chunk !== null; chunk = this.#waiting()) waiting.push(chunk);
    placeReads(this.socket, this.#reads);
    for (const chunk of waiting) this.take(chunk);
  }

  #waiting(): Uint8Array | null {
    return this.socket.read() as Uint8Array | null;
  }

  protected override received(chunk: Uint8Array): void {
    this.#reads.copy(chunk);
  }
}

/** Waits for a client's handshake to end: calls one of both, and that within its event. */
function finishHandshake(
  tls: TLSSocket,
  options: TlsClientOptions,
  withinMs: number,
  failedWith: (error: Error | undefined) => void,
  finished: () => void,
): void {
  let cause: Error | undefined;
  const late = deadline(withinMs, () => tls.destroy(noneWithin(withinMs)));
  const failed = (error: Error): void => {
    cause ??= error;
  };
  const closed = (): void => {
    late.cancel();
    failedWith(cause);
  };
  tls.on("error", failed);
  tls.once("close", closed);
  tls.once("secureConnect", () => {
    late.cancel();
    tls.off("error", failed);
    tls.off("close", closed);
    // Verified by the runtime above; asked again here so that no runtime's reading of
    // `rejectUnauthorized` lets an unverified upstream through.
    const untrusted = options.verify ? whyUntrusted(tls, options.serverName) : undefined;
    if (untrusted !== undefined) {
      cause = untrusted;
      tls.destroy();
      closed();
      return;
    }
    finished();
  });
}
