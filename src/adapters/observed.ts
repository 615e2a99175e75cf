import type { Connection, Endpoint } from "../types.ts";

/** A connection whose incoming bytes somebody looks at on their way through. */
export class ObservedConnection implements Connection {
  readonly #connection: Connection;
  readonly #see: (bytes: Uint8Array) => void;
  readonly #room: () => Promise<void> | undefined;

  /**
   * @param see is shown every chunk before it goes on; what it throws ends the stream
   * @param room what to wait for before more is read: the peer is then made to wait
   */
  constructor(
    connection: Connection,
    see: (bytes: Uint8Array) => void,
    room: () => Promise<void> | undefined = () => undefined,
  ) {
    this.#connection = connection;
    this.#see = see;
    this.#room = room;
  }

  get remote(): Endpoint {
    return this.#connection.remote;
  }
  get local(): Endpoint {
    return this.#connection.local;
  }
  get bytesRead(): number {
    return this.#connection.bytesRead;
  }
  get bytesWritten(): number {
    return this.#connection.bytesWritten;
  }
  get closed(): Promise<void> {
    return this.#connection.closed;
  }

  async read(): Promise<Uint8Array | null> {
    await this.#room();
    const chunk = await this.#connection.read();
    if (chunk !== null) this.#see(chunk);
    return chunk;
  }
  /** What is put back has been seen, and would be seen twice. */
  unread(): void {
    throw new TypeError("an observed stream can't go back");
  }
  write(bytes: Uint8Array): Promise<void> {
    return this.#connection.write(bytes);
  }
  closeWrite(): Promise<void> {
    return this.#connection.closeWrite();
  }
  abort(how?: "close" | "reset"): void {
    this.#connection.abort(how);
  }
}
