import type { Connection, Endpoint, EventedConnection } from "../types.ts";
import { frameFlags, frameTypes, headerBytes } from "../wire/yamux.ts";
import type { Outbox } from "./outbox.ts";

/** What a stream needs of its session. */
export interface StreamHost {
  /** Nobody waits to send, so that a stream may at once. */
  readonly isFree: boolean;
  readonly outbox: Outbox;
  /** This stream has something to send: its turn will come. */
  want(stream: TunnelStream): void;
  /** Something was put into the outbox. */
  filled(): void;
  /** Both halves are over, or it was cut. */
  leave(stream: TunnelStream): void;
  /** How much more than `window` its receive window may be; 0 where it may not. */
  growth(window: number, sinceMs: number): number;
  /** Gives back what `growth` gave. */
  shrink(bytes: number): void;
}

/** What one stream sends before the next one has its turn. */
const quantum = 64 * 1024;

/** The peer ended the stream without an orderly end. */
export const streamReset = new Error("the stream was reset");

/** One stream of a session: a connection like any other, with a window of its own in both directions. */
export class TunnelStream implements EventedConnection {
  readonly id: number;
  readonly remote: Endpoint;
  readonly local: Endpoint;
  readonly closed: Promise<void>;
  bytesRead = 0;
  bytesWritten = 0;
  took = false;

  readonly #host: StreamHost;
  #settle: () => void = () => {};
  #broke: Error | undefined;
  #gone = false;

  /** Read or put back, and wanted by nobody yet. `#putBack` has its room in the window already. */
  #putBack: Uint8Array[] = [];
  #queue: Uint8Array[] = [];
  #queued = 0;
  #held = false;
  #peerEnded = false;
  #reader: { resolve(chunk: Uint8Array | null): void; reject(error: Error): void } | undefined;
  #sink: ((chunk: Uint8Array | null) => boolean) | undefined;
  #window: number;
  readonly #firstWindow: number;
  /** What the peer may still send. */
  #credit: number;
  #granted = 0;

  #out: Uint8Array[] = [];
  #outBytes = 0;
  #sendWindow: number;
  /** Said with the first frame. */
  #first: number;
  #finAsked = false;
  #finSent = false;
  #resetDue = false;
  #writers: { resolve(): void; reject(error: Error): void }[] = [];
  #enders: (() => void)[] = [];
  #drained: (() => void) | undefined;

  /** @param opened by us, rather than by the peer */
  constructor(host: StreamHost, id: number, opened: boolean, window: number, under: Connection) {
    this.#host = host;
    this.id = id;
    this.remote = under.remote;
    this.local = under.local;
    this.#first = opened ? frameFlags.syn : frameFlags.ack;
    this.#window = window;
    this.#firstWindow = window;
    this.#credit = window;
    this.#sendWindow = window;
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  get broke(): Error | undefined {
    return this.#broke;
  }

  set whenGone(callback: () => void) {
    void this.closed.then(callback);
  }

  /** What the peer may send before it is told that it may send more. */
  get credit(): number {
    return this.#credit;
  }

  // What comes from the peer.

  /** Bytes that stay within the credit. `of`: what they are a view on. True where they are needed no more. */
  receive(part: Uint8Array, of: Uint8Array): boolean {
    this.#credit -= part.length;
    if (this.#gone) return true;
    this.bytesRead += part.length;
    if (this.#queue.length === 0 && this.#putBack.length === 0 && !this.#held) {
      if (this.#sink !== undefined) {
        const free = this.#sink(part);
        this.#consumed();
        return free;
      }
      if (this.#reader !== undefined) {
        const reader = this.#reader;
        this.#reader = undefined;
        reader.resolve(part);
        this.#consumed();
        return false;
      }
    }
    // A small part must not keep all of a large chunk for as long as nobody reads it.
    const small = part.length * 3 < of.length;
    this.#queue.push(small ? part.slice() : part);
    this.#queued += part.length;
    return small;
  }

  /** The peer has ended its half. */
  end(): void {
    if (this.#peerEnded || this.#gone) return;
    this.#peerEnded = true;
    this.#deliver();
    this.#finish();
  }

  /** The peer takes so many bytes more. False where no sum of them can be meant. */
  widen(bytes: number): boolean {
    this.#sendWindow += bytes;
    if (this.#outBytes > 0) this.#host.want(this);
    return this.#sendWindow <= 0xffff_ffff;
  }

  /** The peer has reset it, or the session is over. */
  cut(error: Error): void {
    if (this.#gone) return;
    this.#broke = error;
    this.#leave();
  }

  #consumed(): void {
    if (!this.#peerEnded && this.#window - this.#credit - this.#queued >= this.#window / 2)
      this.#host.want(this);
  }

  /** Gives what waits here to whoever wants it. */
  #deliver(): void {
    const sink = this.#sink;
    if (sink !== undefined) {
      while (!this.#held) {
        const chunk = this.#next();
        if (chunk === undefined) break;
        sink(chunk);
      }
      if (!this.#held && this.#peerEnded && !this.#sinkEnded) {
        this.#sinkEnded = true;
        sink(null);
      }
      return;
    }
    if (this.#reader === undefined) return;
    const chunk = this.#next();
    if (chunk === undefined && !this.#peerEnded) return;
    const reader = this.#reader;
    this.#reader = undefined;
    reader.resolve(chunk ?? null);
  }
  #sinkEnded = false;

  #next(): Uint8Array | undefined {
    const before = this.#putBack.shift();
    if (before !== undefined) return before;
    const chunk = this.#queue.shift();
    if (chunk === undefined) return undefined;
    this.#queued -= chunk.length;
    if (!this.#gone) this.#consumed();
    return chunk;
  }

  // What goes to the peer.

  /** Puts into the outbox what is due and fits. True where it has more to send that may be sent. */
  emit(outbox: Outbox): boolean {
    const { id } = this;
    if (this.#resetDue) {
      // Of a stream that the peer has not heard of there is nothing to say.
      if (this.#first !== frameFlags.syn)
        outbox.header(frameTypes.windowUpdate, frameFlags.rst | this.#takeFirst(), id, 0);
      this.#resetDue = false;
      return false;
    }
    if (this.#gone) return false;
    const grant = this.#grant();
    if (grant > 0) outbox.header(frameTypes.windowUpdate, this.#takeFirst(), id, grant);
    const size = Math.min(this.#outBytes, this.#sendWindow, quantum, outbox.room - headerBytes);
    if (size > 0) this.#emitData(outbox, size);
    if (this.#finAsked && !this.#finSent && this.#outBytes === 0 && outbox.room >= headerBytes) {
      outbox.header(frameTypes.windowUpdate, frameFlags.fin | this.#takeFirst(), id, 0);
      this.#finSent = true;
      for (const resolve of this.#enders.splice(0)) resolve();
      this.#finish();
      return false;
    }
    if (this.#outBytes > 0) return this.#sendWindow > 0;
    return this.#finAsked && !this.#finSent;
  }

  #takeFirst(): number {
    const flag = this.#first;
    this.#first = 0;
    return flag;
  }

  #grant(): number {
    if (this.#peerEnded) return 0;
    const grant = this.#window - this.#credit - this.#queued;
    if (grant < this.#window / 2) return 0;
    const now = performance.now();
    const more = this.#host.growth(this.#window, now - this.#granted);
    this.#granted = now;
    this.#window += more;
    this.#credit += grant + more;
    return grant + more;
  }

  #emitData(outbox: Outbox, size: number): void {
    outbox.data(this.#takeFirst(), this.id, size);
    let left = size;
    while (left > 0) {
      const chunk = this.#out[0];
      if (chunk === undefined) break;
      if (chunk.length <= left) {
        outbox.payload(chunk);
        this.#out.shift();
        left -= chunk.length;
      } else {
        outbox.payload(chunk.subarray(0, left));
        this.#out[0] = chunk.subarray(left);
        left = 0;
      }
    }
    this.#outBytes -= size;
    this.#sendWindow -= size;
    if (this.#outBytes > 0) return;
    for (const writer of this.#writers.splice(0)) writer.resolve();
    this.#drained?.();
  }

  push(chunk: Uint8Array): boolean {
    this.took = false;
    if (this.#gone || this.#finAsked) return false;
    this.bytesWritten += chunk.length;
    const { outbox, isFree } = this.#host;
    let sent = 0;
    if (this.#outBytes === 0 && isFree) {
      sent = Math.max(0, Math.min(chunk.length, this.#sendWindow, outbox.room - headerBytes));
      if (sent > 0) {
        outbox.data(this.#takeFirst(), this.id, sent);
        outbox.payload(sent === chunk.length ? chunk : chunk.subarray(0, sent));
        this.#sendWindow -= sent;
        this.#host.filled();
      }
    }
    if (sent === chunk.length) {
      this.took = true;
      return true;
    }
    this.#out.push(chunk.subarray(sent));
    this.#outBytes += chunk.length - sent;
    if (this.#sendWindow > 0) this.#host.want(this);
    return false;
  }

  set drained(callback: () => void) {
    this.#drained = callback;
  }

  endWrite(): void {
    if (this.#gone || this.#finAsked) return;
    this.#finAsked = true;
    this.#host.want(this);
  }

  // As other connections have it.

  pipeTo(sink: (chunk: Uint8Array | null) => boolean): void {
    this.#sink = sink;
    this.#held = false;
    this.#deliver();
  }

  hold(): void {
    this.#held = true;
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#deliver();
  }

  read(): Promise<Uint8Array | null> {
    this.#sink = undefined;
    const chunk = this.#next();
    if (chunk !== undefined) return Promise.resolve(chunk);
    if (this.#peerEnded) return Promise.resolve(null);
    if (this.#gone) return Promise.reject(this.#broke ?? streamReset);
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
    });
  }

  unread(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#putBack.unshift(bytes);
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.#gone) return Promise.reject(this.#broke ?? streamReset);
    if (bytes.length === 0 || this.push(bytes)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#writers.push({ resolve, reject });
    });
  }

  closeWrite(): Promise<void> {
    this.endWrite();
    if (this.#finSent || this.#gone) return Promise.resolve();
    return new Promise((resolve) => {
      this.#enders.push(resolve);
    });
  }

  abort(): void {
    // Both halves are over but for our own last word, which is on its way.
    if (this.#gone || (this.#peerEnded && this.#finAsked && this.#outBytes === 0)) return;
    this.#broke ??= streamReset;
    this.#resetDue = true;
    this.#host.want(this);
    this.#leave();
  }

  #finish(): void {
    if (this.#peerEnded && this.#finSent) this.#leave();
  }

  #leave(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#out = [];
    this.#outBytes = 0;
    if (!this.#peerEnded) {
      this.#queue = [];
      this.#queued = 0;
    }
    const broke = this.#broke ?? streamReset;
    this.#reader?.reject(broke);
    this.#reader = undefined;
    for (const writer of this.#writers.splice(0)) writer.reject(broke);
    for (const resolve of this.#enders.splice(0)) resolve();
    this.#host.shrink(this.#window - this.#firstWindow);
    this.#host.leave(this);
    this.#settle();
  }
}
