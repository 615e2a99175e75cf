import type { Socket } from "node:net";
import type { Endpoint, EventedConnection } from "../types.ts";
import { Arrivals } from "./arrivals.ts";
import { type Ends, SocketEnds } from "./endpoint.ts";
import { connectionClosed } from "./relay.ts";

/** How to make a stream wait when its reader is slow. */
export interface FlowControl {
  pause(): void;
  resume(): void;
}

const nothing = new Uint8Array(0);

/**
 * A connection over a `node:net` socket, or a TLS socket over one.
 *
 * Reads are taken from `data` events rather than in paused mode, so that the flow control can be
 * somebody else's: on Deno a TLS socket must never be paused, and the bytes below it are held instead.
 */
export class SocketConnection extends Arrivals implements EventedConnection {
  readonly socket: Socket;
  readonly #ends: Ends;
  readonly closed: Promise<void>;
  bytesWritten = 0;

  readonly #flow: FlowControl;
  #took = false;
  #given = false;

  constructor(socket: Socket, ends: Ends = new SocketEnds(socket), flow: FlowControl = socket) {
    super();
    this.socket = socket;
    this.#ends = ends;
    this.#flow = flow;
    let settle: () => void;
    this.closed = new Promise((resolve) => {
      settle = resolve;
    });
    socket.on("error", this.#onError);
    // Standalone TLS sockets report what goes wrong below them here, and stay open.
    socket.on("_tlsError", this.#onTlsError);
    socket.once("close", () => {
      this.lost();
      settle();
    });
  }

  get remote(): Endpoint {
    return this.#ends.remote;
  }

  get local(): Endpoint {
    return this.#ends.local;
  }

  readonly #onError = (error: Error): void => this.failed(error);

  readonly #onTlsError = (error: Error): void => {
    this.failed(error);
    this.socket.destroy();
  };

  readonly #onData = (chunk: Uint8Array): void => this.received(chunk);

  readonly #onEnd = (): void => this.peerEnded();

  /** Reading begins: once, and not before somebody wants the bytes. */
  protected starts(): void {}

  /** The socket has handed over a chunk. */
  protected received(chunk: Uint8Array): void {
    this.take(chunk);
  }

  protected override start(): void {
    this.starts();
    this.socket.on("data", this.#onData);
    this.socket.once("end", this.#onEnd);
    // A stream that has nothing else to give tells its end whether or not anybody reads: who comes later has missed it.
    if (this.socket.readableEnded) this.#onEnd();
    this.socket.resume();
  }

  protected override pause(): void {
    this.#flow.pause();
  }

  protected override resume(): void {
    this.#flow.resume();
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.gone) return Promise.reject(this.broke ?? connectionClosed);
    this.bytesWritten += bytes.length;
    if (this.socket.write(bytes)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const { socket } = this;
      const drained = (): void => {
        socket.off("close", closed);
        resolve();
      };
      const closed = (): void => {
        socket.off("drain", drained);
        reject(this.broke ?? connectionClosed);
      };
      socket.once("drain", drained);
      socket.once("close", closed);
    });
  }

  writev(parts: readonly Uint8Array[]): Promise<void> {
    if (this.gone) return this.write(nothing);
    const { socket } = this;
    socket.cork();
    for (const part of parts.slice(0, -1)) {
      this.bytesWritten += part.length;
      socket.write(part);
    }
    const written = this.write(parts[parts.length - 1] ?? nothing);
    socket.uncork();
    return written;
  }

  closeWrite(): Promise<void> {
    if (this.gone || this.socket.writableEnded) return Promise.resolve();
    return new Promise((resolve) => {
      this.socket.once("close", resolve);
      this.socket.end(() => {
        this.socket.off("close", resolve);
        resolve();
      });
    });
  }

  abort(how: "close" | "reset" = "close"): void {
    const { socket } = this;
    // Node leaves the handle open for good where a reset comes while our own end is on its way out, which it is not yet
    // while bytes wait before it. Of what stands on a socket that was given away nothing is known.
    const ends = socket.writableEnded && socket.writableLength === 0;
    if (how === "reset" && !this.gone && !this.#given && !ends) socket.resetAndDestroy();
    else socket.destroy();
  }

  /**
   * Gives the bare socket away, with what was read of it put back: for a TLS handshake on top, or for a
   * library that wants a stream. This connection must not be read or written afterwards.
   */
  detach(): Socket {
    const { socket } = this;
    this.#given = true;
    if (this.started) {
      socket.off("data", this.#onData);
      socket.off("end", this.#onEnd);
      if (this.#flow === socket) socket.pause();
    }
    for (const chunk of this.unclaimed().reverse()) socket.unshift(chunk);
    return socket;
  }

  push(chunk: Uint8Array): boolean {
    this.bytesWritten += chunk.length;
    const { socket } = this;
    const before = socket.writableLength;
    const more = socket.write(chunk);
    const after = socket.writableLength;
    // TLS encrypts within the call when nothing is queued before; TCP is done when the kernel has it all.
    this.#took = this.copies ? before === 0 : after === 0;
    // What the kernel took at once leaves nothing to wait for, however large it was.
    return more || after === 0;
  }

  get took(): boolean {
    return this.#took;
  }

  /** True where a write has made its own copy of the bytes once it returns. */
  protected get copies(): boolean {
    return false;
  }

  set drained(callback: () => void) {
    this.socket.on("drain", callback);
  }

  endWrite(): void {
    this.socket.end();
  }
}
