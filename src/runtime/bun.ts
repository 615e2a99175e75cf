import type { Socket } from "node:net";
import { deadline } from "../core/deadline.ts";
import { isEvented } from "../core/evented.ts";
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
import { BunConnection, type NativeSocket, socketHandlers } from "./bun-socket.ts";
import { BunTlsConnection, secureNative, terminateNative, verifiesNatively } from "./bun-tls.ts";
import { noEndpoint, SocketEnds } from "./endpoint.ts";
import { inheritedEndpoint } from "./inherited-socket.ts";
import { NodeRuntime } from "./node.ts";
import { eventRelay, portableRelay } from "./relay.ts";
import { dialSocket, dialUnixSocket, keepAliveMs, tooLate, unreachable } from "./socket-dial.ts";
import { NodeTlsContext } from "./tls-connection.ts";
import { clientHandshake, dialTlsOverSocket } from "./tls-dial.ts";

declare const Bun: {
  readonly version: string;
  listen(options: object): { readonly hostname: string; readonly port: number; stop(force: boolean): void };
  connect(options: object): Promise<NativeSocket>;
};

const loopMs = 5000;

/** For `node:tls`: the other end of a socket of our own. */
async function dialStream(at: ListenAddress, ticket: Uint8Array): Promise<Socket> {
  const socket = await ("path" in at
    ? dialUnixSocket(at.path)
    : dialSocket({ ...at, withinMs: loopMs }, undefined));
  socket.write(ticket);
  return socket;
}

/** Native sockets, and TLS on them. */
export class BunRuntime extends NodeRuntime {
  override readonly name = "bun";
  override readonly version: string = Bun.version;

  constructor() {
    super(null);
  }

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
          handlers.connection(new BunConnection(socket, false, ends));
        },
      },
    });
    return {
      address: inherited ?? ("path" in at ? noEndpoint : { address: server.hostname, port: server.port }),
      close: async () => server.stop(false),
    };
  }

  override async dial(target: DialTarget): Promise<Connection> {
    if (target.tls !== undefined && !verifiesNatively(target.tls))
      return dialTlsOverSocket(target, target.tls);
    const socket = await dialNative(target);
    socket.setKeepAlive(true, keepAliveMs);
    const connection = new BunConnection(socket, true);
    const { host, port, withinMs, preamble, tls } = target;
    if (preamble !== undefined)
      await connection.write(preamble).catch((error: unknown) => {
        throw unreachable(target, error);
      });
    return tls === undefined ? connection : secureNative(connection, tls, withinMs, `${host}:${port}`);
  }

  override async dialLocal(path: string): Promise<Connection> {
    return new BunConnection(await connectLocal(path), true);
  }

  override async terminate(
    connection: Connection,
    context: TlsContext,
    alpn: string | null,
  ): Promise<TlsConnection> {
    if (!(context instanceof NodeTlsContext)) throw new TypeError("the context must come from this runtime");
    if (isPlain(connection)) return terminateNative(connection, context, alpn);
    return this.#onSocket(connection, (near) => terminateNative(near, context, alpn));
  }

  override secure(
    connection: Connection,
    options: TlsClientOptions,
    withinMs: number,
  ): Promise<TlsConnection> {
    const where = options.serverName;
    if (!verifiesNatively(options))
      return securedOnSocket(this, connection, dialStream, (near) =>
        clientHandshake(near, connection, options, withinMs, where),
      );
    if (isPlain(connection)) return secureNative(connection, options, withinMs, where);
    return this.#onSocket(connection, (near) => secureNative(near, options, withinMs, where));
  }

  /** TLS on what is no native socket itself, for the peers of which it goes on as a connection between the same ends. */
  #onSocket(
    connection: Connection,
    handshake: (near: BunConnection) => Promise<BunTlsConnection>,
  ): Promise<BunTlsConnection> {
    const dial = async (at: ListenAddress, ticket: Uint8Array): Promise<BunConnection> => {
      const socket = await ("path" in at ? connectLocal(at.path) : dialNative({ ...at, withinMs: loopMs }));
      const near = new BunConnection(socket, true, connection);
      await near.write(ticket);
      return near;
    };
    return securedOnSocket(this, connection, dial, handshake);
  }

  override relay(left: Connection, right: Connection, limits: RelayLimits, taps?: Taps): Promise<RelayEnd> {
    if (isEvented(left) && isEvented(right)) return eventRelay(left, right, limits, taps);
    return portableRelay(left, right, limits, taps);
  }
}

/** A bare native socket, which TLS can be had on. */
const isPlain = (connection: Connection): connection is BunConnection =>
  connection instanceof BunConnection && !(connection instanceof BunTlsConnection);

const dialHandlers = { ...socketHandlers, open() {}, connectError() {} };

const connectLocal = (path: string): Promise<NativeSocket> =>
  Bun.connect({ unix: path, allowHalfOpen: true, socket: dialHandlers });

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
      (error: { readonly code?: unknown }) => {
        late.cancel();
        // Its message is the same whatever went wrong.
        reject(unreachable(target, new Error(`connect ${String(error.code)}`, { cause: error })));
      },
    );
  });
}
