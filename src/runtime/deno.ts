import { type Deadline, deadline } from "../core/deadline.ts";
import type { Cancellation, HttpServing } from "../http/exchange.ts";
import { TunnelStream } from "../tunnel/stream.ts";
import type {
  Connection,
  DialTarget,
  ListenAddress,
  Listener,
  ListenHandlers,
  RelayEnd,
  RelayLimits,
  ServingLimits,
  SharedAddress,
  Taps,
  TlsClientOptions,
  TlsConnection,
  TlsContext,
  TlsServerOptions,
} from "../types.ts";
import { withoutGoaway } from "./deno-http2.ts";
import { DenoConnection, DenoDuplex, type NativeAddress, type NativeConn } from "./deno-socket.ts";
import { DenoTlsConnection, type EngineConstructor, findEngine, terminateNatively } from "./deno-tls.ts";
import { DenoTlsContext } from "./deno-tls-context.ts";
import { endpoint } from "./endpoint.ts";
import { NodeRuntime } from "./node.ts";
import { type Chunks, portableRelay } from "./relay.ts";
import { tooLate, unreachable } from "./socket-dial.ts";
import { chainOf, handshake, NodeTlsConnection } from "./tls-connection.ts";
import { clientHandshake } from "./tls-dial.ts";

declare const Deno: {
  readonly version: { readonly deno: string };
  listen(
    options:
      | { hostname: string; port: number; tcpBacklog?: number; reusePort?: boolean }
      | { transport: "unix"; path: string },
  ): NativeListener;
  connect(
    options: { hostname: string; port: number } | { transport: "unix"; path: string },
  ): Promise<NativeConn>;
};

interface NativeListener {
  readonly addr: NativeAddress;
  accept(): Promise<NativeConn>;
  close(): void;
}

/** For the handshake to take in what came before the client's end. */
const lastFlightMs = 1000;

/** The peer had reset the connection before it was accepted: that says nothing of the next one. */
const peerIsGone = (error: unknown): boolean =>
  ["ENOTCONN", "ECONNABORTED", "ECONNRESET"].includes((error as { code?: string }).code ?? "");

/**
 * So many are taken, and everybody else has a turn: to accept one that waits already never leaves the microtasks, and
 * the whole of a crowd's queue would come before the next word of anybody who is in.
 */
const takenAtOnce = 16;
/** For so many turns those that wait come in when a listener closes. */
const lastTurns = 64;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const firstBackOffMs = 5;
const longestBackOffMs = 1000;

/** Native sockets below, `node:tls` over them for TLS. */
export class DenoRuntime extends NodeRuntime {
  override readonly name = "deno";
  override readonly version: string = Deno.version.deno;
  /** rustls reads what it is given to show, and knows few critical extensions (2.9.6). */
  override readonly showsAnyCertificate = false;
  readonly #Engine: EngineConstructor | null;

  /** @param Engine what TLS is done by; `null`: by `node:tls` */
  constructor(Engine: EngineConstructor | null = findEngine()) {
    super(null);
    this.#Engine = Engine;
  }

  override async listen(at: ListenAddress | SharedAddress, handlers: ListenHandlers): Promise<Listener> {
    // No native listener takes one.
    if ("fd" in at) return super.listen(at, handlers);
    const listener = Deno.listen(
      "path" in at
        ? { transport: "unix", path: at.path }
        : {
            hostname: at.host,
            port: at.port,
            tcpBacklog: 4096,
            ...("shared" in at ? { reusePort: true } : {}),
          },
    );
    let open = true;
    let closing = false;
    let taken = 0;
    const accept = async (): Promise<void> => {
      let backOff = firstBackOffMs;
      while (open) {
        try {
          const conn = await listener.accept();
          backOff = firstBackOffMs;
          const { hostname, port } = conn.remoteAddr;
          if (handlers.mayCome?.(endpoint(hostname, port)) === false) conn.close();
          else {
            if (!("path" in at)) conn.setNoDelay(true);
            handlers.connection(adopt(conn));
          }
        } catch (error) {
          if (!open) return;
          if (!peerIsGone(error)) {
            // Out of file descriptors, most often: accepting again at once would only spin.
            handlers.acceptFailed(error instanceof Error ? error : new Error(String(error)));
            await new Promise((resolve) => setTimeout(resolve, backOff));
            backOff = Math.min(backOff * 2, longestBackOffMs);
          }
        }
        if (++taken % takenAtOnce === 0) await turn();
      }
    };
    void accept();
    return {
      address: endpoint(listener.addr.hostname, listener.addr.port),
      close: async () => {
        if (closing) return;
        closing = true;
        // What waits when it closes is lost.
        for (let turns = 0, before = -1; taken !== before && turns < lastTurns; turns++) {
          before = taken;
          await turn();
        }
        open = false;
        listener.close();
      },
    };
  }

  override async dial(target: DialTarget): Promise<Connection> {
    const conn = await dialNative(target);
    conn.setNoDelay(true);
    // Deno knows no delay for it: after how long the peer is asked is the system's own setting.
    conn.setKeepAlive(true);
    const connection = adopt(conn);
    if (target.preamble !== undefined)
      await connection.write(target.preamble).catch((error: unknown) => {
        throw unreachable(target, error);
      });
    if (target.tls === undefined) return connection;
    return secured(connection, target.tls, target.withinMs, `${target.host}:${target.port}`);
  }

  override async dialLocal(path: string): Promise<Connection> {
    return adopt(await Deno.connect({ transport: "unix", path }));
  }

  override secure(
    connection: Connection,
    options: TlsClientOptions,
    withinMs: number,
  ): Promise<TlsConnection> {
    return secured(connection, options, withinMs, options.serverName);
  }

  override tlsContext(options: TlsServerOptions): TlsContext {
    return new DenoTlsContext(options);
  }

  override async terminate(
    connection: Connection,
    context: TlsContext,
    alpn: string | null,
  ): Promise<TlsConnection> {
    if (!(context instanceof DenoTlsContext)) throw new TypeError("the context must come from this runtime");
    if (this.#Engine !== null) return terminateNatively(this.#Engine, connection, context, alpn);
    const duplex = new DenoDuplex(connection);
    // Deno's TLS waits for more where the client has ended before the handshake is over.
    let late: Deadline | undefined;
    const endedEarly = (): void => {
      late = deadline(lastFlightMs, () => connection.abort());
    };
    duplex.once("end", endedEarly);
    try {
      const tls = await handshake(duplex, connection, context, alpn, duplex.flow, StreamedTlsConnection);
      duplex.off("end", endedEarly);
      if (duplex.readableEnded) noticeEnd(tls);
      else duplex.once("end", () => noticeEnd(tls));
      return tls;
    } catch (error) {
      // The stream closes the connection itself, once its last word is out.
      await connection.closed;
      throw error;
    } finally {
      late?.cancel();
    }
  }

  override serveHttp(
    connection: Connection,
    alpn: string | null,
    serving: HttpServing,
    draining: Cancellation,
    limits: ServingLimits,
  ): Promise<void> {
    const served = alpn === "h2" ? withoutGoaway(connection) : connection;
    return super.serveHttp(served, alpn, serving, draining, limits);
  }

  override relay(left: Connection, right: Connection, limits: RelayLimits, taps?: Taps): Promise<RelayEnd> {
    // Many are idle for hours.
    if (left instanceof DenoTlsConnection && right instanceof DenoConnection) right.expectLittle();
    return portableRelay(left, right, limits, taps, reused);
  }
}

/** Below that a copy costs less than a new buffer might. */
const smallChunk = 16 * 1024;

async function readFor(from: DenoConnection): Promise<Uint8Array | null> {
  const view = await from.readView();
  return view === null || view.length > smallChunk ? view : view.slice();
}

/** Where a write that has resolved needs its bytes no more. */
const isDoneWithItsBytes = (to: Connection): boolean =>
  to instanceof DenoConnection || to instanceof DenoTlsConnection || to instanceof TunnelStream;

/**
 * A native write is done with its bytes when it resolves, and TLS once nothing waits in its socket: what is read for
 * them may stand in one buffer, again and again.
 */
const reused: Chunks<Connection> = {
  read: (from, to) => {
    if (!(from instanceof DenoConnection)) return from.read();
    if (isDoneWithItsBytes(to)) return from.readView();
    return to instanceof NodeTlsConnection ? readFor(from) : from.read();
  },
  written: (from, to, whole) => {
    if (from instanceof DenoConnection) {
      if (to instanceof NodeTlsConnection && to.socket.writableLength > 0) from.keepView();
    } else if (whole !== null && from instanceof DenoTlsConnection && isDoneWithItsBytes(to))
      from.release(whole);
  },
};

async function secured(
  connection: Connection,
  options: TlsClientOptions,
  withinMs: number,
  where: string,
): Promise<TlsConnection> {
  const duplex = new DenoDuplex(connection);
  const tls = await clientHandshake(duplex, connection, options, withinMs, where, duplex.flow);
  duplex.once("end", () => noticeEnd(tls));
  return tls;
}

function dialNative(target: DialTarget): Promise<NativeConn> {
  return new Promise((resolve, reject) => {
    let given = false;
    const late = deadline(target.withinMs, () => {
      given = true;
      reject(unreachable(target, tooLate(target)));
    });
    Deno.connect({ hostname: target.host, port: target.port }).then(
      (conn) => {
        late.cancel();
        if (given) conn.close();
        else resolve(conn);
      },
      (error) => {
        late.cancel();
        reject(unreachable(target, error));
      },
    );
  });
}

/** What a TLS socket of Deno keeps to itself: the certificates as they came, which it makes all of its objects from. */
interface Keeping {
  readonly _handle?: {
    getPeerCertificateChain?(): { readonly certificates?: readonly Uint8Array[] } | undefined;
  } | null;
}

class StreamedTlsConnection extends NodeTlsConnection {
  // An object for a certificate costs ten times as much, and is asked for its bytes alone; it is there if that is not.
  override peerLeaf(): Uint8Array | null {
    const { _handle } = this.socket as unknown as Keeping;
    return _handle?.getPeerCertificateChain?.()?.certificates?.[0] ?? super.peerLeaf();
  }

  // Deno's X509Certificate objects don't link to the rest of the chain.
  override peerChain(): readonly Uint8Array[] {
    return chainOf(this.socket.getPeerCertificate(true));
  }
}

/**
 * After the last ciphertext Deno's TLS socket now and then delivers every byte and then no `end`. Nothing
 * more can come by then: once two looks find no new bytes, that is the end.
 */
function noticeEnd(tls: NodeTlsConnection): void {
  let seen = -1;
  const look = (): void => {
    if (tls.socket.readableEnded || tls.gone) return;
    if (tls.bytesRead === seen && tls.socket.readableLength === 0) tls.peerEnded();
    else {
      seen = tls.bytesRead;
      setTimeout(look, 20);
    }
  };
  setTimeout(look, 20);
}

const adopt = (conn: NativeConn): DenoConnection =>
  new DenoConnection(
    conn,
    endpoint(conn.remoteAddr.hostname, conn.remoteAddr.port),
    endpoint(conn.localAddr.hostname, conn.localAddr.port),
  );
