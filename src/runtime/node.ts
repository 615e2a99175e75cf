import { createHash, hash } from "node:crypto";
import {
  type AddressInfo,
  connect,
  createServer,
  isIP,
  type OnReadOpts,
  type Socket,
  type SocketConstructorOpts,
} from "node:net";
import type { Duplex } from "node:stream";
import { type ConnectionOptions, checkServerIdentity, connect as connectTls, type TLSSocket } from "node:tls";
import { deadline } from "../core/deadline.ts";
import { isEvented } from "../core/evented.ts";
import { Refusal } from "../errors.ts";
import type { Cancellation, HttpClient, HttpDial, HttpProtocol, HttpServing } from "../http/exchange.ts";
import type {
  Connection,
  DialTarget,
  ListenAddress,
  Listener,
  ListenHandlers,
  RelayEnd,
  RelayLimits,
  Runtime,
  ServingLimits,
  SharedAddress,
  Taps,
  TlsClientOptions,
  TlsConnection,
  TlsContext,
  TlsServerOptions,
} from "../types.ts";
import { askAtTheDoor } from "./door.ts";
import { type Ends, noEndpoint, SocketEnds } from "./endpoint.ts";
import { gatheredReads } from "./gathered-reads.ts";
import { httpClient } from "./http/client.ts";
import { ConnectionDuplex } from "./http/connection-duplex.ts";
import { serveHttp } from "./http/server.ts";
import { placeReads } from "./placed-reads.ts";
import { pooledReads } from "./pooled-reads.ts";
import { eventRelay, portableRelay } from "./relay.ts";
import { type FlowControl, SocketConnection } from "./socket-connection.ts";
import { handshake, NodeTlsConnection, NodeTlsContext } from "./tls-connection.ts";
import { weakSignature } from "./weak-signature.ts";

const backlog = 4096;

/** `node:net` and `node:tls`: the implementation that holds on all three runtimes. */
export class NodeRuntime implements Runtime {
  readonly name: Runtime["name"] = "node";
  readonly version: string = process.versions.node;
  readonly processId: number = process.pid;
  readonly showsAnyCertificate: boolean = true;

  listen(at: ListenAddress | SharedAddress, handlers: ListenHandlers): Promise<Listener> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
      // A peer that is gone before we looked has no address; there is nothing to serve or to record.
      if (socket.remoteAddress === undefined && !("path" in at)) {
        socket.destroy();
        return;
      }
      const connection = new SocketConnection(socket);
      if (asked || (handlers.mayCome?.(connection.remote) ?? true)) handlers.connection(connection);
      else connection.abort("reset");
    });
    let asked = false;
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      const where = "shared" in at ? { host: at.host, port: at.port, reusePort: true } : at;
      server.listen({ ...where, backlog }, () => {
        server.off("error", reject);
        server.on("error", handlers.acceptFailed);
        asked = handlers.mayCome !== undefined && askAtTheDoor(server, handlers.mayCome);
        const { address, port } = "path" in at ? noEndpoint : (server.address() as AddressInfo);
        resolve({
          address: { address, port },
          close: () =>
            new Promise((done) => {
              // Right behind a look at the network, which takes all that waits: what comes in between is lost.
              setImmediate(() => server.close(() => done()));
            }),
        });
      });
    });
  }

  async dial(target: DialTarget): Promise<Connection> {
    if (target.tls !== undefined) return dialTls(target, target.tls);
    let connection: SocketConnection | undefined;
    const reads = pooledReads((chunk) => connection?.take(chunk) ?? false);
    const socket = await dialSocket(target, reads);
    if (target.preamble !== undefined) socket.write(target.preamble);
    connection = new SocketConnection(socket);
    return connection;
  }

  async dialLocal(path: string): Promise<Connection> {
    return new SocketConnection(await dialUnixSocket(path));
  }

  tlsContext(options: TlsServerOptions): TlsContext {
    return new NodeTlsContext(options);
  }

  terminate(connection: Connection, context: TlsContext, alpn: string | null): Promise<TlsConnection> {
    if (!(context instanceof NodeTlsContext)) throw new TypeError("the context must come from this runtime");
    return handshake(streamOf(connection), connection, context, alpn, undefined, GatheredTlsConnection);
  }

  secure(connection: Connection, options: TlsClientOptions, withinMs: number): Promise<TlsConnection> {
    const where = options.serverName;
    return clientHandshake(
      streamOf(connection),
      connection,
      options,
      withinMs,
      where,
      undefined,
      GatheredTlsConnection,
    );
  }

  relay(left: Connection, right: Connection, limits: RelayLimits, taps?: Taps): Promise<RelayEnd> {
    if (isEvented(left) && isEvented(right)) {
      return eventRelay(left, right, limits, taps);
    }
    return portableRelay(left, right, limits, taps);
  }

  serveHttp(
    connection: Connection,
    alpn: string | null,
    serving: HttpServing,
    draining: Cancellation,
    limits: ServingLimits,
  ): Promise<void> {
    return serveHttp(connection, alpn, serving, draining, limits, this.name === "node");
  }

  httpClient(protocol: HttpProtocol, dial: HttpDial): HttpClient {
    return httpClient(protocol, dial);
  }

  sha256Hex(data: string | Uint8Array): string {
    return hash("sha256", data, "hex");
  }

  md5Hex(data: Uint8Array): string {
    return createHash("md5").update(data).digest("hex");
  }
}

/** After so long without a word the peer's system is asked whether it is still there, as far as ours can be told. */
export const keepAliveMs = 30_000;

/** What a dial that failed says: the same on every runtime. */
export const unreachable = (target: DialTarget, error: unknown): Refusal =>
  new Refusal(
    "upstream_unreachable",
    `${target.host}:${target.port}: ${error instanceof Error && error.message !== "" ? error.message : String(error)}`,
    { cause: error },
  );

export const noneWithin = (ms: number): Error => new Error(`no connection within ${ms} ms`);
export const tooLate = (target: DialTarget): Error => noneWithin(target.withinMs);

/** For a TLS stack on top: the socket itself where there is one. */
const streamOf = (connection: Connection): Duplex =>
  connection instanceof SocketConnection ? connection.detach() : new ConnectionDuplex(connection);

export function dialSocket(target: DialTarget, reads: OnReadOpts | undefined): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: target.host,
      port: target.port,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveMs,
      ...(reads === undefined ? {} : { onread: reads }),
    });
    const late = deadline(target.withinMs, () => socket.destroy(tooLate(target)));
    const failed = (error: Error): void => {
      late.cancel();
      reject(unreachable(target, error));
    };
    socket.once("error", failed);
    socket.once("connect", () => {
      late.cancel();
      socket.off("error", failed);
      resolve(socket);
    });
  });
}

export const dialUnixSocket = (path: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });

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
function dialTls(target: DialTarget, options: TlsClientOptions): Promise<NodeTlsConnection> {
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
class GatheredTlsConnection extends NodeTlsConnection {
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
