import { Duplex } from "node:stream";
import type { Connection } from "../../types.ts";

/** Any connection as a Node stream, for the HTTP libraries. */
export class ConnectionDuplex extends Duplex {
  readonly connection: Connection;

  constructor(connection: Connection) {
    super({ allowHalfOpen: true });
    this.connection = connection;
  }

  override _read(): void {
    this.connection.read().then(
      (chunk) => {
        this.push(chunk);
      },
      (error: Error) => this.destroy(error),
    );
  }

  override _write(chunk: Uint8Array, _encoding: string, done: (error?: Error | null) => void): void {
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
