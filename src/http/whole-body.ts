import type { HttpBody } from "./exchange.ts";

/** A body that is here already. */
export class WholeBody implements HttpBody {
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  takeWhole(): Uint8Array {
    return this.#bytes;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    if (this.#bytes.length > 0) yield this.#bytes;
  }
}
