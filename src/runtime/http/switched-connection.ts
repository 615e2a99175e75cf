import type { Duplex } from "node:stream";
import { isEvented } from "../../core/evented.ts";
import type { Connection, EventedConnection, PushedConnection } from "../../types.ts";
import { ConnectionDuplex } from "./connection-duplex.ts";
import { DuplexConnection } from "./duplex-connection.ts";

/** What an HTTP library leaves after 101: the connection itself, without the streams that the library had between. */
class SwitchedConnection implements Connection {
  readonly closed: Promise<void>;
  bytesRead = 0;
  bytesWritten = 0;
  protected readonly below: Connection;
  readonly #stream: ConnectionDuplex;
  readonly #left: (Uint8Array | null)[];
  #underWay: Promise<Uint8Array | null> | null;

  constructor(stream: ConnectionDuplex, head: Uint8Array) {
    this.#stream = stream;
    this.below = stream.connection;
    this.closed = this.below.closed;
    const { left, underWay } = stream.handOver();
    this.#left = left;
    this.#underWay = underWay;
    this.unread(head);
  }

  get remote(): Connection["remote"] {
    return this.below.remote;
  }

  get local(): Connection["local"] {
    return this.below.local;
  }

  async read(): Promise<Uint8Array | null> {
    let chunk = this.#left.shift();
    if (chunk === undefined) {
      const underWay = this.#underWay;
      this.#underWay = null;
      chunk = await (underWay ?? this.below.read());
    }
    this.bytesRead += chunk?.length ?? 0;
    return chunk;
  }

  unread(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#left.unshift(bytes);
  }

  write(bytes: Uint8Array): Promise<void> {
    this.bytesWritten += bytes.length;
    return this.below.write(bytes);
  }

  async writev(parts: readonly Uint8Array[]): Promise<void> {
    if (this.below.writev === undefined) {
      for (const part of parts) await this.write(part);
      return;
    }
    for (const { length } of parts) this.bytesWritten += length;
    await this.below.writev(parts);
  }

  closeWrite(): Promise<void> {
    return this.below.closeWrite();
  }

  abort(how: "close" | "reset" = "close"): void {
    this.#stream.destroy(how === "reset" ? new Error("cut") : undefined);
  }
}

class SwitchedEventedConnection extends SwitchedConnection implements PushedConnection {
  declare protected readonly below: EventedConnection;

  push(chunk: Uint8Array): boolean {
    this.bytesWritten += chunk.length;
    return this.below.push(chunk);
  }

  get took(): boolean {
    return this.below.took;
  }

  set drained(callback: () => void) {
    this.below.drained = callback;
  }
}

/** The connection under the stream of an HTTP library that has switched protocols, and what it read too much. */
export function switchedConnection(stream: Duplex, head: Uint8Array): Connection {
  if (!(stream instanceof ConnectionDuplex)) return new DuplexConnection(stream, head);
  stream.on("error", () => {});
  return isEvented(stream.connection)
    ? new SwitchedEventedConnection(stream, head)
    : new SwitchedConnection(stream, head);
}
