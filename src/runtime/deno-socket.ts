import { Duplex } from "node:stream";
import type { Connection, Endpoint } from "../types.ts";
import { alertRecord } from "../wire/alert.ts";
import type { FlowControl } from "./socket-connection.ts";

/** Of a TCP socket; a Unix socket's has neither. */
export interface NativeAddress {
  readonly hostname?: string;
  readonly port?: number;
}

/** The part of Deno's native TCP connection that is used here. */
export interface NativeConn {
  readonly remoteAddr: NativeAddress;
  readonly localAddr: NativeAddress;
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  closeWrite(): Promise<void>;
  close(): void;
  setNoDelay(on?: boolean): void;
  setKeepAlive(on?: boolean): void;
}

/** How much is asked for at once: more as reads come back full, less again when a large one comes back nearly empty. */
const leastRead = 1024;
const smallRead = 4 * 1024;
const largeRead = 64 * 1024;
const bulkRead = 192 * 1024;
const nextRead = (asked: number, got: number): number => {
  if (got < asked) return asked === bulkRead && got < smallRead ? largeRead : asked;
  if (asked === leastRead) return smallRead;
  return asked === smallRead ? largeRead : bulkRead;
};

const nobody = (): void => {};

/** A connection on Deno's native sockets: reads and writes are calls, so the reader sets the pace by itself. */
export class DenoConnection implements Connection {
  readonly conn: NativeConn;
  readonly remote: Endpoint;
  readonly local: Endpoint;
  readonly closed: Promise<void>;
  bytesRead = 0;
  bytesWritten = 0;

  #settle: () => void = nobody;
  #queue: Uint8Array[] = [];
  #buffer: Uint8Array = new Uint8Array(0);
  #firstRead = smallRead;
  #readDone = false;
  #writeDone = false;
  /** Writes that are under way, and who waits for their end. */
  #writing = 0;
  #written: () => void = nobody;
  #gone = false;

  constructor(conn: NativeConn, remote: Endpoint, local: Endpoint) {
    this.conn = conn;
    this.remote = remote;
    this.local = local;
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  /**
   * The next bytes in a buffer of this connection's own, good until the next call: what the relay uses.
   * The buffer starts small, for the many connections that say little.
   */
  async readView(): Promise<Uint8Array | null> {
    const waiting = this.#queue.shift();
    if (waiting !== undefined) return waiting;
    if (this.#readDone) return null;
    if (this.#buffer.length === 0) this.#buffer = new Uint8Array(this.#firstRead);
    let count: number | null;
    try {
      count = await this.conn.read(this.#buffer);
    } catch (error) {
      this.abort();
      throw error;
    }
    if (count === null) {
      this.#readDone = true;
      if (this.#writeDone) this.abort();
      return null;
    }
    this.bytesRead += count;
    const view = this.#buffer.subarray(0, count);
    const size = nextRead(this.#buffer.length, count);
    if (size !== this.#buffer.length) this.#buffer = new Uint8Array(size);
    return view;
  }

  /** Much may never come: as long as nothing does, a buffer waits for it all the same. */
  expectLittle(): void {
    this.#buffer = new Uint8Array(0);
    this.#firstRead = leastRead;
  }

  /** Whoever took the last view keeps it: the next one is in another buffer. */
  keepView(): void {
    this.#buffer = new Uint8Array(this.#buffer.length);
  }

  async read(): Promise<Uint8Array | null> {
    const view = await this.readView();
    return view === null ? null : view.slice();
  }

  unread(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#queue.unshift(bytes);
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.bytesWritten += bytes.length;
    this.#writing++;
    try {
      let sent = await this.conn.write(bytes);
      while (sent < bytes.length) sent += await this.conn.write(bytes.subarray(sent));
    } catch (error) {
      this.abort();
      throw error;
    } finally {
      if (--this.#writing === 0) this.#written();
    }
  }

  async closeWrite(): Promise<void> {
    if (this.#writeDone || this.#gone) return;
    this.#writeDone = true;
    if (this.#writing > 0)
      await new Promise<void>((resolve) => {
        this.#written = resolve;
      });
    try {
      await this.conn.closeWrite();
    } catch {
      this.abort();
      return;
    }
    if (this.#readDone) this.abort();
  }

  abort(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.conn.close();
    this.#settle();
  }
}

/**
 * A native connection as a Node stream, for TLS on top. Its flow control holds the reads
 * from the network and leaves the stream flowing: a TLS socket on Deno that was paused may never go on, or
 * never end.
 */
export class DenoDuplex extends Duplex {
  readonly #connection: Connection;
  #held = false;
  #wanted = false;
  #unyielded = 0;

  /** Apart from the stream's own `pause` and `resume`, which the TLS socket on top calls as it likes. */
  readonly flow: FlowControl = {
    pause: () => {
      this.#held = true;
    },
    resume: () => {
      this.#held = false;
      if (!this.#wanted) return;
      this.#wanted = false;
      this.#pull();
    },
  };

  constructor(connection: Connection) {
    super({ allowHalfOpen: true });
    this.#connection = connection;
  }

  #pull(): void {
    const connection = this.#connection;
    const native = connection instanceof DenoConnection;
    (native ? connection.readView() : connection.read()).then(
      (chunk) => {
        this.#unyielded += chunk?.length ?? 0;
        this.push(chunk);
        // TLS takes in a chunk within the call, and it need not be copied for that; one that waits here must stay.
        if (native && this.readableLength > 0) connection.keepView();
      },
      (error: Error) => this.destroy(error),
    );
  }

  override _read(): void {
    if (this.#held) this.#wanted = true;
    else if (this.#unyielded >= bulkRead) {
      // Reads that are answered at once never leave the microtasks, and the TLS socket above, which works in
      // tasks, would take in all that comes before it gives out the first byte for anybody to be held by.
      this.#unyielded = 0;
      setImmediate(() => this._read());
    } else this.#pull();
  }

  override _write(chunk: Uint8Array, _encoding: string, callback: (error?: Error | null) => void): void {
    this.#connection.write(chunk).then(() => callback(), callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#connection.closeWrite().then(() => callback(), callback);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    if (this.#connection.bytesWritten === 0) {
      // Deno's TLS gives up without a word; before its first one the alert is still ours to send.
      this.#connection.write(alertRecord("handshake_failure")).then(
        () => this.#connection.abort(),
        () => this.#connection.abort(),
      );
    } else this.#connection.abort();
    callback(error);
  }
}
