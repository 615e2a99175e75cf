import { isEvented } from "../core/evented.ts";
import type { Connection } from "../types.ts";
import { type FrameType, headerBytes, putFrameHeader } from "../wire/yamux.ts";

/** A batch on a busy session, and on one that says little. */
const largeBatch = 256 * 1024;
const smallBatch = 4 * 1024;
/** So many small batches in a row, and the session is no longer busy. */
const quietAfter = 8;
/** Kept for the few frames that concern the whole session. */
const reserved = 4 * headerBytes;

/**
 * Frames on their way out, gathered: one write for all that is there to be sent by now. What is put in is copied, so
 * that whoever had the bytes may use them again at once.
 */
export class Outbox {
  readonly #under: Connection;
  readonly #drained: () => void;
  readonly #failed: (error: unknown) => void;
  #batch = new Uint8Array(0);
  #length = 0;
  #size = smallBatch;
  /** Small batches since the last larger one. */
  #small = 0;
  #full = false;

  /** @param drained the connection has room again */
  constructor(under: Connection, drained: () => void, failed: (error: unknown) => void) {
    this.#under = under;
    this.#drained = drained;
    this.#failed = failed;
    if (isEvented(under)) {
      under.drained = () => {
        this.#full = false;
        drained();
      };
    }
  }

  /** Whether the connection has no room for a batch now. */
  get full(): boolean {
    return this.#full;
  }

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /** Bytes that streams may still put in, headers included. */
  get room(): number {
    return Math.max(0, (this.#batch.length || this.#size) - this.#length - reserved);
  }

  header(type: FrameType, flags: number, stream: number, length: number): void {
    if (this.#batch.length === 0) this.#batch = new Uint8Array(this.#size);
    putFrameHeader(this.#batch, this.#length, type, flags, stream, length);
    this.#length += headerBytes;
  }

  /** Behind a data frame's header, which has said how much. */
  payload(bytes: Uint8Array): void {
    this.#batch.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Hands the batch to the connection. */
  flush(): void {
    const bytes = this.#batch.subarray(0, this.#length);
    this.#small = this.#length > smallBatch / 2 ? 0 : this.#small + 1;
    // A few words in between don't cost a busy session its room.
    const size = this.#small === 0 ? largeBatch : this.#small < quietAfter ? this.#size : smallBatch;
    const under = this.#under;
    this.#length = 0;
    let free = false;
    if (isEvented(under)) {
      this.#full = !under.push(bytes);
      free = under.took;
    } else {
      this.#full = true;
      under.write(bytes).then(() => {
        this.#full = false;
        this.#drained();
      }, this.#failed);
    }
    if (!free || size !== this.#batch.length) this.#batch = new Uint8Array(0);
    this.#size = size;
  }
}
