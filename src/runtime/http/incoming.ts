import type { Readable } from "node:stream";
import type { HttpBody } from "../../http/exchange.ts";

/** Of a request's head, line and fields. */
export const maxHeaderBytes = 32 * 1024;

/** A request's body, taken once. */
export class RequestBody implements HttpBody {
  begun = false;
  readonly #stream: Readable;
  readonly #wanted: () => void;
  readonly #taken: () => void;

  /**
   * @param wanted called when somebody begins to read
   * @param taken called with every part that was read
   */
  constructor(stream: Readable, wanted: () => void, taken: () => void) {
    this.#stream = stream;
    this.#wanted = wanted;
    this.#taken = taken;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    this.begun = true;
    this.#wanted();
    return this.#parts();
  }

  async *#parts(): AsyncGenerator<Uint8Array> {
    // Whoever stops reading early still has an answer to give on the same connection.
    for await (const chunk of this.#stream.iterator({ destroyOnReturn: false })) {
      this.#taken();
      yield chunk as Uint8Array;
    }
  }
}
