import { createHash, hash } from "node:crypto";
import { type AddressInfo, createServer } from "node:net";
import type { Duplex } from "node:stream";
import { isEvented } from "../core/evented.ts";
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
import { noEndpoint } from "./endpoint.ts";
import { HandleConnection } from "./handle-connection.ts";
import { type Addresses, acceptHandles, dialHandle } from "./handle-net.ts";
import { terminateOnHandle } from "./handle-tls.ts";
import { findHandles, type Handles } from "./handles.ts";
import { httpClient } from "./http/client.ts";
import { ConnectionDuplex } from "./http/connection-duplex.ts";
import { serveHttp } from "./http/server.ts";
import { namesAlone, withIssuers } from "./names-alone.ts";
import { pooledReads } from "./pooled-reads.ts";
import { eventRelay, portableRelay } from "./relay.ts";
import { SocketConnection } from "./socket-connection.ts";
import { dialSocket, dialUnixSocket } from "./socket-dial.ts";
import { handshake, NodeTlsContext } from "./tls-connection.ts";
import { clientHandshake, dialTls, GatheredTlsConnection, untrustedUpstream } from "./tls-dial.ts";

const backlog = 4096;

/**
 * It stands in every ticket, though keys keep apart what must not be mixed up. The two tickets of a handshake share a
 * buffer with what the server sent before; where they don't fit, the engine gets 16 KiB for as long as it lives.
 */
const sessionContextLength = 6;

/** `node:net` and `node:tls`: the implementation that holds on all three runtimes. */
export class NodeRuntime implements Runtime {
  readonly name: Runtime["name"] = "node";
  readonly version: string = process.versions.node;
  readonly processId: number = process.pid;
  readonly showsAnyCertificate: boolean = true;
  readonly #handles: Handles | null;

  /** @param handles what connections stand on; `null`: sockets of `node:net` */
  constructor(handles: Handles | null = findHandles()) {
    this.#handles = handles;
  }

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
        const byHandle = this.#handles !== null && acceptHandles(server, this.#handles, handlers);
        asked = !byHandle && handlers.mayCome !== undefined && askAtTheDoor(server, handlers.mayCome);
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

  dial(target: DialTarget): Promise<Connection> {
    if (target.tls !== undefined) return dialTls(target, target.tls);
    if (this.#handles === null) return this.#dialSocket(target);
    return dialHandle(this.#handles, target, (addresses) => this.#dialSocket(target, addresses));
  }

  async #dialSocket(target: DialTarget, addresses?: Addresses): Promise<Connection> {
    let connection: SocketConnection | undefined;
    const reads = pooledReads((chunk) => connection?.take(chunk) ?? false);
    const socket = await dialSocket(target, reads, addresses);
    if (target.preamble !== undefined) socket.write(target.preamble);
    connection = new SocketConnection(socket);
    return connection;
  }

  async dialLocal(path: string): Promise<Connection> {
    return new SocketConnection(await dialUnixSocket(path));
  }

  /**
   * The chain is verified by us, and only by us. The library would all the same verify what each client shows, and give
   * its result to nobody who asks: so what it is told of the authorities are their names alone, which it lists for the
   * client to choose by (RFC 8446 §4.2.4), and by which no signature can be verified; who holds the certificate's key is
   * still proved to it.
   */
  tlsContext(options: TlsServerOptions): TlsContext {
    const { cert, clientCas } = options;
    const sessionContext =
      this.#handles === null ? options.sessionContext : options.sessionContext.slice(0, sessionContextLength);
    const names = clientCas === null ? null : namesAlone(clientCas);
    if (clientCas === null || names === null) return new NodeTlsContext({ ...options, sessionContext });
    return new NodeTlsContext({ ...options, sessionContext, cert: withIssuers(cert, clientCas) }, names);
  }

  terminate(connection: Connection, context: TlsContext, alpn: string | null): Promise<TlsConnection> {
    if (!(context instanceof NodeTlsContext)) throw new TypeError("the context must come from this runtime");
    if (connection instanceof HandleConnection) return terminateOnHandle(connection, context, alpn);
    return handshake(streamOf(connection), connection, context, alpn, undefined, GatheredTlsConnection);
  }

  async secure(connection: Connection, options: TlsClientOptions, withinMs: number): Promise<TlsConnection> {
    const where = options.serverName;
    const stream =
      connection instanceof HandleConnection
        ? await connection.detach().catch((error: Error) => {
            throw untrustedUpstream(where, error);
          })
        : streamOf(connection);
    return clientHandshake(stream, connection, options, withinMs, where, undefined, GatheredTlsConnection);
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

/** For a TLS stack on top: the socket itself where there is one. */
const streamOf = (connection: Connection): Duplex =>
  connection instanceof SocketConnection ? connection.detach() : new ConnectionDuplex(connection);
