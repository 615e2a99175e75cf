import type { Connection, Endpoint } from "../types.ts";

/** A connection in front of another: what it does not do in a way of its own, the other does. */
export class WrappedConnection implements Connection {
  protected readonly inner: Connection;

  constructor(inner: Connection) {
    this.inner = inner;
  }

  get remote(): Endpoint {
    return this.inner.remote;
  }

  get local(): Endpoint {
    return this.inner.local;
  }

  get bytesRead(): number {
    return this.inner.bytesRead;
  }

  get bytesWritten(): number {
    return this.inner.bytesWritten;
  }

  get closed(): Promise<void> {
    return this.inner.closed;
  }

  read(): Promise<Uint8Array | null> {
    return this.inner.read();
  }

  unread(bytes: Uint8Array): void {
    this.inner.unread(bytes);
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.inner.write(bytes);
  }

  closeWrite(): Promise<void> {
    return this.inner.closeWrite();
  }

  abort(how?: "close" | "reset"): void {
    this.inner.abort(how);
  }
}
