import { Duplex } from "node:stream";
import type { Connection } from "../../types.ts";

/** Any connection as a Node stream, for the HTTP libraries. */
export class ConnectionDuplex extends Duplex {
  readonly connection: Connection;
  #full: (() => boolean) | null = null;
  #wanted = false;
  #reading = false;
  #gone = false;
  /** Told of every chunk that is about to go out. */
  sees: ((chunk: Uint8Array) => void) | null = null;

  constructor(connection: Connection) {
    super({ allowHalfOpen: true });
    this.connection = connection;
    // Whoever reads nothing for now would not notice: what came before the end is little, and then comes the end.
    void connection.closed.then(() => {
      this.#gone = true;
      this.#read();
    });
  }

  #read(): void {
    if (this.#reading || this.destroyed || this.readableEnded) return;
    this.#reading = true;
    this.connection.read().then(
      (chunk) => {
        this.#reading = false;
        this.push(chunk);
        if (this.#gone && chunk !== null) this.#read();
      },
      (error: Error) => this.destroy(error),
    );
  }

  /**
   * Reads on only while `full` says no; asked before every read, and again at every `wake`. For what reads this
   * stream without making it wait, as Bun's HTTP server does.
   */
  holdWhile(full: (() => boolean) | null): void {
    this.#full = full;
    this.wake();
  }

  wake(): void {
    if (this.destroyed || !this.#wanted || this.#full?.() === true) return;
    this.#wanted = false;
    this._read();
  }

  override _read(): void {
    if (this.#full?.() === true) {
      this.#wanted = true;
      return;
    }
    this.#read();
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
    this.#write(chunk, done);
  }

  /** Parts of one message (a head and its body, a chunk and its frame) go out as one: each would be a TLS record. */
  override _writev(
    parts: { chunk: Uint8Array; encoding: string }[],
    done: (error?: Error | null) => void,
  ): void {
    const chunks = parts.map(({ chunk }) => chunk);
    const { connection } = this;
    if (connection.writev === undefined || this.sees !== null) this.#write(Buffer.concat(chunks), done);
    else connection.writev(chunks).then(() => done(), done);
  }

  #write(chunk: Uint8Array, done: (error?: Error | null) => void): void {
    this.sees?.(chunk);
    this.connection.write(chunk).then(() => done(), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.connection.closeWrite().then(() => done(), done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.connection.abort(error === null ? "close" : "reset");
    done(error);
  }

  /** What the HTTP servers call after a last response: everything written goes out first. */
  destroySoon(): void {
    this.once("finish", () => this.destroy());
    this.end();
  }

  // The HTTP libraries call these on every socket; the runtime has set what they would set.
  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  setTimeout(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}
