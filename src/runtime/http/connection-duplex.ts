import { Duplex } from "node:stream";
import { isEvented } from "../../core/evented.ts";
import type { Connection, EventedConnection } from "../../types.ts";
import { connectionClosed } from "../relay.ts";

/** Parts of one message up to so many bytes are put together before they go out: to copy them is cheaper. */
const smallMessage = 16 * 1024;

/** Any connection as a Node stream, for the HTTP libraries. */
export class ConnectionDuplex extends Duplex {
  readonly connection: Connection;
  /** The same connection where it gives its bytes as events, which cost less than a promise for each. */
  readonly #evented: EventedConnection | null;
  #started = false;
  #reading = false;
  #ended = false;
  #gone = false;
  #unwritten: ((error?: Error | null) => void) | null = null;
  /** Told of every chunk that is about to go out. */
  sees: ((chunk: Uint8Array) => void) | null = null;

  /** @param byEvents whether it may take bytes as events, and say that they are written within the call */
  constructor(connection: Connection, byEvents = true) {
    super({ allowHalfOpen: true });
    this.connection = connection;
    this.#evented = byEvents && isEvented(connection) ? connection : null;
    if (this.#evented !== null) this.#evented.drained = this.#drained;
    void connection.closed.then(this.#closed);
  }

  readonly #closed = (): void => {
    this.#gone = true;
    if (this.#evented === null) {
      // Whoever reads nothing for now would not notice: what came before the end is little, and then comes the end.
      this.#pull();
      return;
    }
    this.#finishWrite(this.#evented.broke ?? connectionClosed);
    if (this.#started && !this.#ended) this.destroy(this.#evented.broke ?? connectionClosed);
    else if (!this.#started) this.#start(this.#evented);
  };

  readonly #take = (chunk: Uint8Array | null): boolean => {
    if (chunk === null) this.#ended = true;
    if (!this.destroyed && !this.push(chunk) && chunk !== null) this.#evented?.hold();
    return false;
  };

  #start(evented: EventedConnection): void {
    this.#started = true;
    evented.pipeTo(this.#take);
  }

  #pull(): void {
    if (this.#reading || this.destroyed || this.readableEnded) return;
    this.#reading = true;
    this.connection.read().then(
      (chunk) => {
        this.#reading = false;
        this.push(chunk);
        if (this.#gone && chunk !== null) this.#pull();
      },
      (error: Error) => this.destroy(error),
    );
  }

  override _read(): void {
    if (this.#evented === null) this.#pull();
    else if (this.#started) this.#evented.release();
    else this.#start(this.#evented);
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
    const bytes = chunks.reduce((sum, { length }) => sum + length, 0);
    if (connection.writev === undefined || this.sees !== null || bytes <= smallMessage)
      this.#write(Buffer.concat(chunks, bytes), done);
    else connection.writev(chunks).then(() => done(), done);
  }

  #write(chunk: Uint8Array, done: (error?: Error | null) => void): void {
    this.sees?.(chunk);
    if (this.#evented === null) this.connection.write(chunk).then(() => done(), done);
    else if (this.#gone) done(this.#evented.broke ?? connectionClosed);
    else if (this.#evented.push(chunk)) done();
    else this.#unwritten = done;
  }

  readonly #drained = (): void => this.#finishWrite(null);

  #finishWrite(error: Error | null): void {
    const done = this.#unwritten;
    this.#unwritten = null;
    done?.(error);
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
