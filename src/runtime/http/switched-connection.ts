import { isEvented } from "../../core/evented.ts";
import type { Connection, EventedConnection, PushedConnection } from "../../types.ts";

/** What is left after 101: the connection itself, behind what was read of it already. */
class SwitchedConnection implements Connection {
  readonly closed: Promise<void>;
  bytesRead = 0;
  bytesWritten = 0;
  protected readonly below: Connection;
  readonly #left: (Uint8Array | null)[];
  #underWay: Promise<Uint8Array | null> | null;

  constructor(below: Connection, left: (Uint8Array | null)[], underWay: Promise<Uint8Array | null> | null) {
    this.below = below;
    this.closed = below.closed;
    this.#left = left;
    this.#underWay = underWay;
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
    this.below.abort(how);
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

/**
 * A connection that HTTP has let go of.
 *
 * @param left comes first. Grows until the connection is read by its new owner; `null`: the peer's end
 * @param underWay a read that nobody waits for yet: it comes next
 */
export const takenOver = (
  below: Connection,
  left: (Uint8Array | null)[],
  underWay: Promise<Uint8Array | null> | null,
): Connection =>
  isEvented(below)
    ? new SwitchedEventedConnection(below, left, underWay)
    : new SwitchedConnection(below, left, underWay);
