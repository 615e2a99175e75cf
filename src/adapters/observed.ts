import type { Connection } from "../types.ts";
import { WrappedConnection } from "./wrapped.ts";

/** A connection whose incoming bytes somebody looks at on their way through. */
export class ObservedConnection extends WrappedConnection {
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
    super(connection);
    this.#see = see;
    this.#room = room;
  }

  override async read(): Promise<Uint8Array | null> {
    await this.#room();
    const chunk = await this.inner.read();
    if (chunk !== null) this.#see(chunk);
    return chunk;
  }

  /** What is put back has been seen, and would be seen twice. */
  override unread(): void {
    throw new TypeError("an observed stream can't go back");
  }
}
