import { deadline } from "../core/deadline.ts";
import { isEvented } from "../core/evented.ts";
import { Refusal } from "../errors.ts";
import type {
  Connection,
  DialTarget,
  ListenAddress,
  Listener,
  ListenHandlers,
  RelayEnd,
  RelayLimits,
  SharedAddress,
  Taps,
  TlsClientOptions,
  TlsConnection,
  TlsContext,
} from "../types.ts";
import { securedOnSocket } from "./bun-loop.ts";
import { BunConnection, type NativeSocket, type SocketOwner, socketHandlers } from "./bun-socket.ts";
import { type Ends, noEndpoint, SocketEnds } from "./endpoint.ts";
import { inheritedEndpoint } from "./inherited-socket.ts";
import {
  clientHandshake,
  dialSocket,
  dialTlsOverSocket,
  keepAliveMs,
  NodeRuntime,
  tooLate,
  unreachable,
} from "./node.ts";
import { eventRelay, portableRelay } from "./relay.ts";
import { chainOf, NodeTlsContext } from "./tls-connection.ts";

interface NativeTlsSocket extends NativeSocket {
  readonly alpnProtocol: string | false | null;
  getTLSVersion(): string;
  isSessionReused(): boolean;
  /** The leaf alone, which is all that it looks at. */
  getPeerX509Certificate(): { readonly raw: Uint8Array } | undefined;
  /** The whole list, unless it is to be abbreviated. Dear: it puts everything into words that a certificate says. */
  getPeerCertificate(abbreviated: boolean): Parameters<typeof chainOf>[0];
  disableRenegotiation(): void;
}

interface UpgradableSocket extends NativeSocket {
  /** The raw half and the TLS half. `isServer` and `initialData` are what `node:tls` itself uses here. */
  upgradeTLS(options: object): [NativeSocket, NativeTlsSocket] | undefined;
}

declare const Bun: {
  readonly version: string;
  listen(options: object): { readonly hostname: string; readonly port: number; stop(force: boolean): void };
  connect(options: object): Promise<NativeSocket>;
};

const loopback = "127.0.0.1";
const loopMs = 5000;

/** A finished handshake on Bun's native TLS. */
class BunTlsConnection extends BunConnection implements TlsConnection {
  declare socket: NativeTlsSocket;

  readonly version: string;
  readonly alpn: string | null;
  readonly resumed: boolean;

  constructor(socket: NativeTlsSocket, ends: Ends) {
    super(socket, ends);
    // Asked once, now: a closed socket no longer knows.
    this.version = socket.getTLSVersion();
    this.alpn = socket.alpnProtocol || null;
    this.resumed = socket.isSessionReused();
  }

  peerLeaf(): Uint8Array | null {
    return this.socket.getPeerX509Certificate()?.raw ?? null;
  }

  peerChain(): readonly Uint8Array[] {
    return chainOf(this.socket.getPeerCertificate(false));
  }
}

/** ALPN as the native layer takes it: each id behind its length (RFC 7301 §3.1). */
const alpnWire = (id: string): Uint8Array =>
  Uint8Array.from([id.length, ...[...id].map((c) => c.charCodeAt(0))]);

function join(chunks: readonly Uint8Array[]): Uint8Array {
  const [first] = chunks;
  if (first !== undefined && chunks.length === 1) return first;
  return Buffer.concat(chunks);
}

/** Native sockets for everything that is accepted, terminated and relayed; `node:tls` towards TLS upstreams. */
export class BunRuntime extends NodeRuntime {
  override readonly name = "bun";
  override readonly version: string = Bun.version;

  override async listen(at: ListenAddress | SharedAddress, handlers: ListenHandlers): Promise<Listener> {
    // A listener does not say where one is that it took over.
    const inherited = "fd" in at ? inheritedEndpoint(at.fd) : null;
    const server = Bun.listen({
      ...("fd" in at
        ? { fd: at.fd }
        : "path" in at
          ? { unix: at.path }
          : { hostname: at.host, port: at.port, ...("shared" in at ? { reusePort: true } : {}) }),
      allowHalfOpen: true,
      socket: {
        ...socketHandlers,
        open(socket: NativeSocket) {
          const ends = new SocketEnds(socket);
          if (handlers.mayCome?.(ends.remote) === false) {
            socket.terminate();
            return;
          }
          handlers.connection(new BunConnection(socket, ends));
        },
      },
    });
    return {
      address: inherited ?? ("path" in at ? noEndpoint : { address: server.hostname, port: server.port }),
      close: async () => server.stop(false),
    };
  }

  override async dial(target: DialTarget): Promise<Connection> {
    if (target.tls !== undefined) return dialTlsOverSocket(target, target.tls);
    const socket = await dialNative(target);
    socket.setKeepAlive(true, keepAliveMs);
    const connection = new BunConnection(socket);
    if (target.preamble !== undefined) connection.push(target.preamble);
    return connection;
  }

  override async dialLocal(path: string): Promise<Connection> {
    return new BunConnection(await Bun.connect({ unix: path, allowHalfOpen: true, socket: dialHandlers }));
  }

  override async terminate(
    connection: Connection,
    context: TlsContext,
    alpn: string | null,
  ): Promise<TlsConnection> {
    if (!(context instanceof NodeTlsContext)) throw new TypeError("the context must come from this runtime");
    if (connection instanceof BunConnection) return terminateNative(connection, context, alpn);
    return securedOnSocket(this, connection, {
      dial: (port, preamble) => this.dial({ host: loopback, port, withinMs: loopMs, preamble }),
      use: (accepted, dialled) => {
        const near = (accepted as BunConnection).named(connection);
        return [dialled, terminateNative(near, context, alpn)];
      },
    });
  }

  override secure(
    connection: Connection,
    options: TlsClientOptions,
    withinMs: number,
  ): Promise<TlsConnection> {
    return securedOnSocket(this, connection, {
      dial: async (port, ticket) => {
        const socket = await dialSocket({ host: loopback, port, withinMs }, undefined);
        socket.write(ticket);
        return socket;
      },
      use: (accepted, socket) => [
        accepted,
        clientHandshake(socket, connection, options, withinMs, options.serverName),
      ],
    });
  }

  override relay(left: Connection, right: Connection, limits: RelayLimits, taps?: Taps): Promise<RelayEnd> {
    if (isEvented(left) && isEvented(right)) return eventRelay(left, right, limits, taps);
    return portableRelay(left, right, limits, taps);
  }
}

const dialHandlers = { ...socketHandlers, open() {}, connectError() {} };

function dialNative(target: DialTarget): Promise<NativeSocket> {
  return new Promise((resolve, reject) => {
    let given = false;
    const late = deadline(target.withinMs, () => {
      given = true;
      reject(unreachable(target, tooLate(target)));
    });
    Bun.connect({ hostname: target.host, port: target.port, allowHalfOpen: true, socket: dialHandlers }).then(
      (socket) => {
        late.cancel();
        // There is no way to stop a native dial: one that succeeds too late is closed then.
        if (given) socket.terminate();
        else resolve(socket);
      },
      (error) => {
        late.cancel();
        reject(unreachable(target, error));
      },
    );
  });
}

function terminateNative(
  plain: BunConnection,
  context: NodeTlsContext,
  alpn: string | null,
): Promise<BunTlsConnection> {
  return new Promise((resolve, reject) => {
    plain.release();
    const { remote, local } = plain;
    const initialData = join(plain.takeUnread());
    let cause: Error | undefined;
    let done = false;
    const failed = (): void => {
      if (done) return;
      done = true;
      const why = cause?.message ?? "the client went away during the handshake";
      reject(new Refusal("handshake_failed", why, { cause }));
    };
    const early: Uint8Array[] = [];
    // Owns the socket until the handshake is over.
    const pending: SocketOwner = {
      onData: (chunk) => early.push(chunk),
      onDrain: () => {},
      onEnd: failed,
      onClose: (error) => {
        cause ??= error;
        failed();
      },
      onError: (error) => {
        cause ??= error;
      },
    };
    const pair = (plain.socket as UpgradableSocket).upgradeTLS({
      isServer: true,
      initialData,
      data: pending,
      tls: {
        secureContext: context.secureContext.context,
        requestCert: context.requestsCertificate,
        rejectUnauthorized: false,
        ...(alpn === null ? {} : { ALPNProtocols: alpnWire(alpn) }),
      },
      socket: {
        ...socketHandlers,
        handshake(tls: NativeTlsSocket, success: boolean, error: Error | null) {
          if (done) return;
          if (!success) {
            cause ??= error ?? undefined;
            tls.terminate();
            failed();
            return;
          }
          done = true;
          tls.disableRenegotiation();
          const connection = new BunTlsConnection(tls, { remote, local });
          for (const chunk of early) connection.onData(chunk);
          resolve(connection);
        },
      },
    });
    if (pair === undefined) failed();
    else plain.handOver(pair[0]);
  });
}
