import { connectionClosed } from "./relay.ts";

/** What may wait here unread before the peer is made to wait. */
const highWater = 64 * 1024;

interface Reader {
  resolve(chunk: Uint8Array | null): void;
  reject(error: Error): void;
}

/** The receiving half of a connection whose bytes come as events: to a reader, to a relay's sink, or to wait for one. */
export abstract class Arrivals {
  bytesRead = 0;
  #queue: Uint8Array[] = [];
  #queued = 0;
  #held = false;
  #started = false;
  #ended = false;
  #gone = false;
  #broke: Error | undefined;
  #whenGone: (() => void) | undefined;
  #reader: Reader | undefined;
  #sink: ((chunk: Uint8Array | null) => boolean) | undefined;

  /** The error that ended it, if one did. */
  get broke(): Error | undefined {
    return this.#broke;
  }

  get gone(): boolean {
    return this.#gone;
  }

  /** Whether bytes have been asked for. */
  protected get started(): boolean {
    return this.#started;
  }

  /** Whether chunks go to a sink. */
  protected get piped(): boolean {
    return this.#sink !== undefined;
  }

  /** Whether the peer has closed its sending half. */
  protected get ended(): boolean {
    return this.#ended;
  }

  /** From now on bytes are wanted: called once, and not before somebody wants them. */
  protected abstract start(): void;

  /** No bytes for now. */
  protected abstract pause(): void;

  protected abstract resume(): void;

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

  /** Nothing comes any more: an orderly end. */
  peerEnded(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#sink !== undefined) this.#sink(null);
    else if (this.#reader !== undefined) {
      const reader = this.#reader;
      this.#reader = undefined;
      reader.resolve(null);
    }
  }

  /** What went wrong first is what ended it. */
  protected failed(error: Error): void {
    this.#broke ??= error;
  }

  /** It is gone: whoever waits hears of it, unless an orderly end was seen before. */
  protected lost(): void {
    this.#gone = true;
    if (!this.#ended) {
      this.#broke ??= connectionClosed;
      const reader = this.#reader;
      this.#reader = undefined;
      reader?.reject(this.#broke);
    }
    this.#whenGone?.();
  }

  set whenGone(callback: () => void) {
    if (this.#gone) callback();
    else this.#whenGone = callback;
  }

  #start(): void {
    if (this.#started) return;
    this.#started = true;
    this.start();
  }

  hold(): void {
    if (this.#held) return;
    this.#held = true;
    this.pause();
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.resume();
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
    // Nearly always there is none: what puts one in front of others costs more.
    if (this.#queue.length === 0) this.#queue.push(bytes);
    else this.#queue.unshift(bytes);
    this.#queued += bytes.length;
  }

  pipeTo(sink: (chunk: Uint8Array | null) => boolean): void {
    this.#sink = sink;
    const pending = this.unclaimed();
    // Released first: the sink may hold again while it takes what waited here.
    this.release();
    for (const chunk of pending) sink(chunk);
    if (this.#ended) sink(null);
    else this.#start();
  }

  /** What waits here, which is the caller's from now on. */
  protected unclaimed(): Uint8Array[] {
    const pending = this.#queue;
    this.#queue = [];
    this.#queued = 0;
    return pending;
  }
}
