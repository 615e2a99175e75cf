import type { Duplex } from "node:stream";
import type { Connection, Endpoint } from "../../types.ts";

/** A stream has no address of its own. */
const nowhere: Endpoint = { address: "", port: 0 };

/** The other way round: an HTTP/2 stream that has switched protocols (RFC 8441), as a connection. */
export class DuplexConnection implements Connection {
  readonly remote = nowhere;
  readonly local = nowhere;
  readonly closed: Promise<void>;
  bytesRead = 0;
  bytesWritten = 0;

  readonly #stream: Duplex;
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #pending: Uint8Array[] = [];

  constructor(stream: Duplex) {
    this.#stream = stream;
    // The peer's end must leave our own half open.
    this.#chunks = stream.iterator({ destroyOnReturn: false }) as AsyncIterator<Uint8Array>;
    this.closed = new Promise((resolve) => stream.once("close", resolve));
    stream.on("error", () => {});
  }

  async read(): Promise<Uint8Array | null> {
    const waiting = this.#pending.shift();
    if (waiting !== undefined) return waiting;
    const { done, value } = await this.#chunks.next();
    if (done === true) return null;
    this.bytesRead += value.length;
    return value;
  }

  unread(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#pending.unshift(bytes);
  }

  write(bytes: Uint8Array): Promise<void> {
    this.bytesWritten += bytes.length;
    return new Promise((resolve, reject) => {
      this.#stream.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  writev(parts: readonly Uint8Array[]): Promise<void> {
    const last = parts.length - 1;
    this.#stream.cork();
    for (const part of parts.slice(0, last)) {
      this.bytesWritten += part.length;
      this.#stream.write(part);
    }
    const written = this.write(parts[last] ?? new Uint8Array(0));
    this.#stream.uncork();
    return written;
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#stream.destroyed) resolve();
      else this.#stream.end(() => resolve());
    });
  }

  abort(how: "close" | "reset" = "close"): void {
    this.#stream.destroy(how === "reset" ? new Error("cut") : undefined);
  }
}
