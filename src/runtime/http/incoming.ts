import type { Readable } from "node:stream";
import { Refusal } from "../../errors.ts";
import type { HttpBody } from "../../http/exchange.ts";

/** Of a request's head, line and fields. */
export const maxHeaderBytes = 32 * 1024;

/** The body of a request in HTTP/2, taken once. */
export class RequestBody implements HttpBody {
  readonly #stream: Readable;
  readonly #wanted: () => void;
  readonly #isWhole: () => boolean;

  /**
   * @param wanted called when somebody begins to read
   * @param isWhole whether its end is where its sender meant it to be: some libraries end one that was cut as any other
   */
  constructor(stream: Readable, wanted: () => void, isWhole: () => boolean) {
    this.#stream = stream;
    this.#wanted = wanted;
    this.#isWhole = isWhole;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    this.#wanted();
    return this.#parts();
  }

  async *#parts(): AsyncGenerator<Uint8Array> {
    // Whoever stops reading early still has an answer to give on the same connection.
    for await (const chunk of this.#stream.iterator({ destroyOnReturn: false })) {
      yield chunk as Uint8Array;
    }
    if (!this.#isWhole())
      throw new Refusal("client_closed", "the client went away in the middle of its request");
  }
}
