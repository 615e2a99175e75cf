import { int32At } from "../../wire/bson.ts";

const headerBytes = 16;

/** Follows a stream of messages by their lengths alone, to know where something may be put between two. */
export class Boundaries {
  /** Bytes of the message under way that are still to come, once its length is known. */
  #left = 0;
  /** What has come of the length of a message. */
  #length: number[] = [];

  /** Whether what has come so far ends with a message. */
  get between(): boolean {
    return this.#left === 0 && this.#length.length === 0;
  }

  /** Where in these bytes the first message ends, or begins; `null`: in none of them. Throws on what are no messages. */
  push(chunk: Uint8Array): number | null {
    let first: number | null = this.between ? 0 : null;
    for (let at = 0; at < chunk.length; ) {
      if (this.#left === 0) {
        this.#length.push(chunk[at++] ?? 0);
        if (this.#length.length < 4) continue;
        this.#left = int32At(Uint8Array.from(this.#length), 0) - 4;
        this.#length = [];
        if (this.#left < headerBytes - 4) throw new RangeError("a message that is shorter than its header");
        continue;
      }
      const count = Math.min(this.#left, chunk.length - at);
      this.#left -= count;
      at += count;
      if (this.#left === 0) first ??= at;
    }
    return first;
  }
}
