import type { Connection, Endpoint, EventedConnection } from "../../src/types.ts";

const nowhere: Endpoint = { address: "127.0.0.1", port: 1 };
const bytesOf = (text: string | Uint8Array): Uint8Array =>
  typeof text === "string" ? Buffer.from(text, "latin1") : text;

/** A connection whose peer is the test. */
export class FakeConnection implements Connection {
  readonly remote = nowhere;
  readonly local = nowhere;
  readonly closed: Promise<void>;
  bytesRead = 0;
  bytesWritten = 0;
  /** All that was written, one character a byte. */
  written = "";
  writes = 0;
  ended: "no" | "our half" | "close" | "reset" = "no";
  /** Bytes that wait here, since nobody takes them. */
  waiting = 0;

  protected readonly came: (Uint8Array | null)[] = [];
  protected readonly settle: () => void;
  broke: Error | undefined;
  #reader: { resolve(chunk: Uint8Array | null): void; reject(error: Error): void } | null = null;
  #wrote: () => void = () => {};
  #room: Promise<void> = Promise.resolve();
  #makeRoom: () => void = () => {};

  constructor() {
    let settle = (): void => {};
    this.closed = new Promise((resolve) => {
      settle = resolve;
    });
    this.settle = settle;
  }

  // The peer's side.

  say(text: string | Uint8Array): void {
    const bytes = bytesOf(text);
    this.waiting += bytes.length;
    this.give(bytes);
  }

  end(): void {
    this.give(null);
  }

  breakOff(): void {
    this.broke = new Error("connection reset");
    this.#reader?.reject(this.broke);
    this.#reader = null;
    this.settle();
  }

  fill(): void {
    this.#room = new Promise((resolve) => {
      this.#makeRoom = resolve;
    });
  }

  drain(): void {
    this.#makeRoom();
  }

  /** Resolves once what was written is like this. */
  async until(wanted: RegExp): Promise<void> {
    while (!wanted.test(this.written))
      await new Promise<void>((resolve) => {
        this.#wrote = resolve;
      });
  }

  /** What was written so far. */
  forget(): void {
    this.written = "";
  }

  protected give(chunk: Uint8Array | null): void {
    const reader = this.#reader;
    if (reader === null) return void this.came.push(chunk);
    this.#reader = null;
    this.waiting -= chunk?.length ?? 0;
    reader.resolve(chunk);
  }

  // What the connection's owner has of it.

  read(): Promise<Uint8Array | null> {
    const chunk = this.came.shift();
    if (chunk !== undefined) {
      this.waiting -= chunk?.length ?? 0;
      return Promise.resolve(chunk);
    }
    if (this.broke !== undefined) return Promise.reject(this.broke);
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
    });
  }

  unread(bytes: Uint8Array): void {
    this.came.unshift(bytes);
  }

  write(bytes: Uint8Array): Promise<void> {
    this.take(bytes);
    return this.#room;
  }

  protected take(bytes: Uint8Array): void {
    this.writes++;
    if (this.ended === "no") this.written += Buffer.from(bytes).toString("latin1");
    this.#wrote();
  }

  closeWrite(): Promise<void> {
    this.ended = "our half";
    return Promise.resolve();
  }

  abort(how: "close" | "reset" = "close"): void {
    if (this.ended === "close" || this.ended === "reset") return;
    this.ended = how;
    this.#reader?.reject(new Error("aborted"));
    this.#reader = null;
    this.settle();
  }
}

/** The same, by events. */
export class FakeEventedConnection extends FakeConnection implements EventedConnection {
  took = true;
  #sink: ((chunk: Uint8Array | null) => boolean) | null = null;
  #held = false;
  #full = false;
  #drained: () => void = () => {};

  set whenGone(callback: () => void) {
    void this.closed.then(callback);
  }

  protected override give(chunk: Uint8Array | null): void {
    if (this.#sink === null) return void super.give(chunk);
    this.came.push(chunk);
    this.#flow();
  }

  #flow(): void {
    while (this.#sink !== null && !this.#held && this.came.length > 0) {
      const chunk = this.came.shift() ?? null;
      this.waiting -= chunk?.length ?? 0;
      this.#sink(chunk);
    }
  }

  override read(): Promise<Uint8Array | null> {
    this.#sink = null;
    this.#held = false;
    return super.read();
  }

  pipeTo(sink: (chunk: Uint8Array | null) => boolean): void {
    this.#sink = sink;
    this.#held = false;
    this.#flow();
  }

  hold(): void {
    this.#held = true;
  }

  release(): void {
    this.#held = false;
    this.#flow();
  }

  push(chunk: Uint8Array): boolean {
    this.take(chunk);
    return !this.#full;
  }

  override write(bytes: Uint8Array): Promise<void> {
    this.take(bytes);
    return Promise.resolve();
  }

  set drained(callback: () => void) {
    this.#drained = callback;
  }

  override fill(): void {
    this.#full = true;
  }

  override drain(): void {
    this.#full = false;
    this.#drained();
  }

  endWrite(): void {
    this.ended = "our half";
  }
}
