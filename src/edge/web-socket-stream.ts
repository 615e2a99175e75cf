import type { Connection, Endpoint } from "../types.ts";

/** The part of a Worker's WebSocket that is used here. */
export interface WorkerWebSocket {
  accept(): void;
  binaryType?: string;
  send(data: Uint8Array): void;
  close(code?: number, reason?: string): void;
  addEventListener(
    type: "message" | "close" | "error",
    listener: (event: { readonly data?: unknown }) => void,
  ): void;
}

/** What may wait here for an origin that is slower than its client: a Worker can't make a WebSocket wait. */
const maxWaiting = 16 * 1024 * 1024;

const nowhere: Endpoint = { address: "", port: 0 };
const nothing = new Uint8Array(0);

/** A client's byte stream inside binary messages, an empty one ending its half; see `src/websocket/connection.ts`. */
export class WebSocketStream implements Connection {
  readonly remote: Endpoint;
  readonly local = nowhere;
  readonly closed: Promise<void>;
  bytesRead = 0;
  bytesWritten = 0;

  readonly #socket: WorkerWebSocket;
  #queue: Uint8Array[] = [];
  #waiting = 0;
  #ended = false;
  #finished = false;
  #broke: Error | undefined;
  #wake = (): void => {};
  #settle = (): void => {};

  constructor(socket: WorkerWebSocket, address: string) {
    this.#socket = socket;
    this.remote = { address, port: 0 };
    this.closed = new Promise((resolve) => {
      this.#settle = resolve;
    });
    // Before the first message; otherwise it is a Blob on some compatibility dates.
    socket.binaryType = "arraybuffer";
    socket.accept();
    socket.addEventListener("message", ({ data }) => this.#take(data));
    socket.addEventListener("close", () => this.#gone(undefined));
    socket.addEventListener("error", () => this.#gone(new Error("connection closed")));
  }

  #take(data: unknown): void {
    if (!(data instanceof ArrayBuffer)) {
      this.#refuse(1003, "a text message: expected binary ones");
      return;
    }
    if (data.byteLength === 0) this.#ended = true;
    else if (!this.#ended) {
      this.#queue.push(new Uint8Array(data));
      this.#waiting += data.byteLength;
      if (this.#waiting > maxWaiting) this.#refuse(1013, "the router does not take it as fast");
    }
    this.#wake();
  }

  #refuse(code: number, reason: string): void {
    this.#gone(new Error(reason));
    this.#close(code, reason);
  }

  #close(code: number, reason?: string): void {
    try {
      this.#socket.close(code, reason);
    } catch {
      // It is closed already.
    }
  }

  #gone(error: Error | undefined): void {
    if (!this.#ended && error === undefined) this.#broke ??= new Error("connection closed");
    this.#broke ??= error;
    this.#ended = true;
    this.#finished = true;
    this.#wake();
    this.#settle();
  }

  async read(): Promise<Uint8Array | null> {
    for (;;) {
      const chunk = this.#queue.shift();
      if (chunk !== undefined) {
        this.#waiting -= chunk.length;
        this.bytesRead += chunk.length;
        return chunk;
      }
      if (this.#broke !== undefined) throw this.#broke;
      if (this.#ended) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  unread(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#queue.unshift(bytes);
    this.#waiting += bytes.length;
    this.bytesRead -= bytes.length;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#finished) throw this.#broke ?? new Error("connection closed");
    if (bytes.length === 0) return;
    this.bytesWritten += bytes.length;
    this.#socket.send(bytes);
  }

  async closeWrite(): Promise<void> {
    if (this.#finished) return;
    this.#finished = true;
    this.#socket.send(nothing);
  }

  abort(): void {
    this.#close(1000);
    this.#gone(undefined);
  }
}
