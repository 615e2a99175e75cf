import type { Socket } from "node:net";
import type { Endpoint, EventedConnection } from "../types.ts";
import { type Ends, SocketEnds } from "./endpoint.ts";
import { connectionClosed } from "./relay.ts";

/** How to make a stream wait when its reader is slow. */
export interface FlowControl {
  pause(): void;
  resume(): void;
}

const nothing = new Uint8Array(0);

/** What may wait here unread before the peer is made to wait. */
const highWater = 64 * 1024;

/**
 * A connection over a `node:net` socket, or a TLS socket over one.
 *
 * Reads are taken from `data` events rather than in paused mode, so that the flow control can be
 * somebody else's: on Deno a TLS socket must never be paused, and the bytes below it are held instead.
 */
export class SocketConnection implements EventedConnection {
  readonly socket: Socket;
  readonly #ends: Ends;
  readonly closed: Promise<void>;
  bytesRead = 0;
  bytesWritten = 0;

  readonly #flow: FlowControl;
  #queue: Uint8Array[] = [];
  #queued = 0;
  #held = false;
  #flowing = false;
  #ended = false;
  #gone = false;
  #broke: Error | undefined;
  #reader: { resolve(chunk: Uint8Array | null): void; reject(error: Error): void } | undefined;
  #sink: ((chunk: Uint8Array | null) => boolean) | undefined;
  #took = false;

  constructor(socket: Socket, ends: Ends = new SocketEnds(socket), flow: FlowControl = socket) {
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
      this.#gone = true;
      this.#fail();
      settle();
    });
  }

  get remote(): Endpoint {
    return this.#ends.remote;
  }

  get local(): Endpoint {
    return this.#ends.local;
  }

  /** The error that ended it, if one did. */
  get broke(): Error | undefined {
    return this.#broke;
  }

  get gone(): boolean {
    return this.#gone;
  }

  readonly #onError = (error: Error): void => {
    this.#broke ??= error;
  };

  readonly #onTlsError = (error: Error): void => {
    this.#broke ??= error;
    this.socket.destroy();
  };

  readonly #onData = (chunk: Uint8Array): void => this.received(chunk);

  /** Reading begins: once, and not before somebody wants the bytes. */
  protected starts(): void {}

  /** The socket has handed over a chunk. */
  protected received(chunk: Uint8Array): void {
    this.take(chunk);
  }

  /** A chunk has arrived. True when a relay took it and needs its bytes no more. */
  take(chunk: Uint8Array): boolean {
    this.bytesRead += chunk.length;
    if (this.#sink !== undefined) return this.#sink(chunk);
    if (this.#reader !== undefined) {
      const reader = this.#reader;
      this.#reader = undefined;
      reader.resolve(chunk);
    } else {
      this.#queue.push(chunk);
      this.#queued += chunk.length;
      if (this.#queued >= highWater) this.hold();
    }
    return false;
  }

  readonly #onEnd = (): void => {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#sink !== undefined) this.#sink(null);
    else if (this.#reader !== undefined) {
      const reader = this.#reader;
      this.#reader = undefined;
      reader.resolve(null);
    }
  };

  /** Says that the peer has ended, for a runtime whose socket may keep it to itself. */
  peerEnded(): void {
    this.#onEnd();
  }

  /** The socket is gone: whoever waits hears of it, unless an orderly end was seen before. */
  #fail(): void {
    if (this.#ended) return;
    this.#broke ??= connectionClosed;
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.reject(this.#broke);
  }

  #start(): void {
    if (this.#flowing) return;
    this.#flowing = true;
    this.starts();
    this.socket.on("data", this.#onData);
    this.socket.once("end", this.#onEnd);
    // A stream that has nothing else to give tells its end whether or not anybody reads: who comes later has missed it.
    if (this.socket.readableEnded) this.#onEnd();
    this.socket.resume();
  }

  hold(): void {
    if (this.#held) return;
    this.#held = true;
    this.#flow.pause();
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#flow.resume();
  }

  read(): Promise<Uint8Array | null> {
    this.#sink = undefined;
    const chunk = this.#queue.shift();
    if (chunk !== undefined) {
      this.#queued -= chunk.length;
      return Promise.resolve(chunk);
    }
    if (this.#ended) return Promise.resolve(null);
    if (this.#gone) return Promise.reject(this.#broke ?? connectionClosed);
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
      this.#start();
      this.release();
    });
  }

  unread(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#queue.unshift(bytes);
    this.#queued += bytes.length;
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#gone) return Promise.reject(this.#broke ?? connectionClosed);
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
        reject(this.#broke ?? connectionClosed);
      };
      socket.once("drain", drained);
      socket.once("close", closed);
    });
  }

  writev(parts: readonly Uint8Array[]): Promise<void> {
    if (this.#gone) return this.write(nothing);
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
    if (this.#gone || this.socket.writableEnded) return Promise.resolve();
    return new Promise((resolve) => {
      this.socket.once("close", resolve);
      this.socket.end(() => {
        this.socket.off("close", resolve);
        resolve();
      });
    });
  }

  abort(how: "close" | "reset" = "close"): void {
    // Node leaves the handle open for good where a reset comes while our own end is on its way out.
    if (how === "reset" && !this.#gone && !this.socket.writableEnded) this.socket.resetAndDestroy();
    else this.socket.destroy();
  }

  /**
   * Gives the bare socket away, with what was read of it put back: for a TLS handshake on top, or for a
   * library that wants a stream. This connection must not be read or written afterwards.
   */
  detach(): Socket {
    const { socket } = this;
    if (this.#flowing) {
      socket.off("data", this.#onData);
      socket.off("end", this.#onEnd);
      if (this.#flow === socket) socket.pause();
    }
    const pending = this.#queue;
    this.#queue = [];
    for (let chunk = pending.pop(); chunk !== undefined; chunk = pending.pop()) socket.unshift(chunk);
    return socket;
  }

  pipeTo(sink: (chunk: Uint8Array | null) => boolean): void {
    this.#sink = sink;
    const pending = this.#queue;
    this.#queue = [];
    this.#queued = 0;
    // Released first: the sink may hold again while it takes what waited here.
    this.release();
    for (const chunk of pending) sink(chunk);
    if (this.#ended) sink(null);
    else this.#start();
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
