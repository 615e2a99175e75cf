import type { Endpoint, EventedConnection } from "../types.ts";
import { type Ends, SocketEnds } from "./endpoint.ts";
import { connectionClosed } from "./relay.ts";

/** The part of Bun's native TCP socket that is used here. */
export interface NativeSocket {
  data: SocketOwner | undefined;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  /** How many bytes were taken; less than zero when the socket is closed. */
  write(bytes: Uint8Array): number;
  /** Closes the sending half. */
  shutdown(): void;
  end(): void;
  /** Closes at once, with a TCP reset where bytes are left. */
  terminate(): void;
  pause(): void;
  resume(): void;
  setKeepAlive(on: boolean, afterMs: number): void;
}

/** Who a native socket's events go to. */
export interface SocketOwner {
  onData(chunk: Uint8Array): void;
  onDrain(): void;
  onEnd(): void;
  onClose(error: Error | undefined): void;
  onError(error: Error): void;
}

/** One set of handlers for every socket: the socket's `data` says whose event it is. */
export const socketHandlers = {
  data: (socket: NativeSocket, chunk: Uint8Array): void => socket.data?.onData(chunk),
  drain: (socket: NativeSocket): void => socket.data?.onDrain(),
  end: (socket: NativeSocket): void => socket.data?.onEnd(),
  close: (socket: NativeSocket, error?: Error): void => socket.data?.onClose(error),
  error: (socket: NativeSocket, error: Error): void => socket.data?.onError(error),
  binaryType: "uint8array",
};

/** What may wait here unread before the peer is made to wait. */
const highWater = 64 * 1024;

const nobody = (): void => {};

/**
 * A connection on Bun's native sockets, before or after the TLS handshake. The relay reaches `push`,
 * `pipeTo`, `hold` and `release` directly: one call from a socket's event to the other socket's write.
 */
export class BunConnection implements EventedConnection, SocketOwner {
  socket: NativeSocket;
  /** Whether the socket has handlers of its own: those that a listener accepts have them in common. */
  readonly alone: boolean;
  readonly #ends: Ends;
  bytesRead = 0;
  bytesWritten = 0;

  #closed: Promise<void> | undefined;
  #settle: () => void = nobody;
  #whenGone: () => void = nobody;
  #queue: Uint8Array[] = [];
  #queued = 0;
  #held = false;
  #ended = false;
  #gone = false;
  #broke: Error | undefined;
  #reader: { resolve(chunk: Uint8Array | null): void; reject(error: Error): void } | undefined;
  #sink: ((chunk: Uint8Array | null) => boolean) | undefined;

  #unsent: Uint8Array[] = [];
  #shutdown: "no" | "asked" | "done" = "no";
  #writers: { resolve(): void; reject(error: Error): void }[] = [];
  #drained: (() => void) | undefined;

  /** Whether the peer hears of our own end when the socket is closed, too. */
  protected get endsByClosing(): boolean {
    return true;
  }

  constructor(socket: NativeSocket, alone: boolean, ends: Ends = new SocketEnds(socket)) {
    this.socket = socket;
    this.alone = alone;
    this.#ends = ends;
    socket.data = this;
  }

  /** Made for the first who asks: of most connections a relay is told alone. */
  get closed(): Promise<void> {
    this.#closed ??= this.#gone
      ? Promise.resolve()
      : new Promise((resolve) => {
          this.#settle = resolve;
        });
    return this.#closed;
  }

  set whenGone(callback: () => void) {
    if (this.#gone) callback();
    else this.#whenGone = callback;
  }

  get remote(): Endpoint {
    return this.#ends.remote;
  }

  get local(): Endpoint {
    return this.#ends.local;
  }

  get broke(): Error | undefined {
    return this.#broke;
  }

  onData(chunk: Uint8Array): void {
    this.bytesRead += chunk.length;
    if (this.#sink !== undefined) this.#sink(chunk);
    else if (this.#reader !== undefined) {
      const reader = this.#reader;
      this.#reader = undefined;
      reader.resolve(chunk);
    } else {
      this.#queue.push(chunk);
      this.#queued += chunk.length;
      if (this.#queued >= highWater) this.hold();
    }
  }

  onEnd(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#sink !== undefined) this.#sink(null);
    else if (this.#reader !== undefined) {
      const reader = this.#reader;
      this.#reader = undefined;
      reader.resolve(null);
    }
  }

  onDrain(): void {
    if (!this.#flush()) return;
    // First, for our end may be the last that there is of it.
    for (const writer of this.#writers.splice(0)) writer.resolve();
    if (this.#shutdown === "asked") this.#finish();
    this.#drained?.();
  }

  onError(error: Error): void {
    this.#broke ??= error;
  }

  onClose(error: Error | undefined): void {
    if (this.#gone) return;
    this.#gone = true;
    // Where both had ended already, the peer did not wait for TLS to say so.
    const over = this.#ended && this.#shutdown === "done";
    if (error !== undefined && !over) this.#broke ??= error;
    // Bun says only `close` when the peer's end comes after our own: that is an orderly end.
    if (this.#broke === undefined && this.#shutdown === "done") this.onEnd();
    if (this.#unsent.length > 0 || !this.#ended) this.#broke ??= connectionClosed;
    const broke = this.#broke ?? connectionClosed;
    this.#reader?.reject(broke);
    this.#reader = undefined;
    if (this.#writers.length > 0) for (const writer of this.#writers.splice(0)) writer.reject(broke);
    this.#settle();
    this.#whenGone();
  }

  /** True when nothing is left unsent. */
  #flush(): boolean {
    while (this.#unsent.length > 0) {
      const chunk = this.#unsent[0];
      if (chunk === undefined) break;
      const sent = this.socket.write(chunk);
      if (sent < chunk.length) {
        if (sent > 0) this.#unsent[0] = chunk.subarray(sent);
        return false;
      }
      this.#unsent.shift();
    }
    return true;
  }

  #finish(): void {
    this.#shutdown = "done";
    if (this.#ended && this.endsByClosing) this.abort();
    else this.socket.shutdown();
  }

  push(chunk: Uint8Array): boolean {
    this.took = false;
    if (this.#gone) return false;
    this.bytesWritten += chunk.length;
    if (this.#unsent.length > 0) {
      this.#unsent.push(chunk);
      return false;
    }
    const sent = this.socket.write(chunk);
    this.took = sent >= chunk.length;
    if (this.took) return true;
    this.#unsent.push(sent > 0 ? chunk.subarray(sent) : chunk);
    return false;
  }

  took = false;

  set drained(callback: () => void) {
    this.#drained = callback;
  }

  hold(): void {
    if (this.#held || this.#gone) return;
    this.#held = true;
    this.socket.pause();
  }

  release(): void {
    if (!this.#held || this.#gone) return;
    this.#held = false;
    this.socket.resume();
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
      this.release();
    });
  }

  unread(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    // Nearly always there is none: what puts one in front of others costs more.
    if (this.#queue.length === 0) this.#queue.push(bytes);
    else this.#queue.unshift(bytes);
    this.#queued += bytes.length;
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#gone) return Promise.reject(this.#broke ?? connectionClosed);
    if (this.push(bytes)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#writers.push({ resolve, reject });
    });
  }

  closeWrite(): Promise<void> {
    this.endWrite();
    return Promise.resolve();
  }

  endWrite(): void {
    if (this.#gone || this.#shutdown !== "no") return;
    if (this.#unsent.length > 0) this.#shutdown = "asked";
    else this.#finish();
  }

  abort(how: "close" | "reset" = "close"): void {
    if (this.#gone) return;
    if (how === "reset") this.socket.terminate();
    else this.socket.end();
    this.onClose(undefined);
  }

  pipeTo(sink: (chunk: Uint8Array | null) => boolean): void {
    this.#sink = sink;
    // Released first: the sink may hold again while it takes what waited here.
    this.release();
    for (const chunk of this.takeUnread()) sink(chunk);
    if (this.#ended) sink(null);
  }

  /** Another owner (TLS) has the socket now; what remains here is the raw half, to be closed with it. */
  handOver(raw: NativeSocket): void {
    this.socket = raw;
    raw.data = undefined;
  }

  takeUnread(): Uint8Array[] {
    const pending = this.#queue;
    this.#queue = [];
    this.#queued = 0;
    return pending;
  }
}
