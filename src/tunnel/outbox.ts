import { isEvented } from "../core/evented.ts";
import type { Connection } from "../types.ts";
import { type FrameType, frameTypes, headerBytes, putFrameHeader } from "../wire/yamux.ts";

/** Kept for the few frames that concern the whole session. */
const reserved = 4 * headerBytes;
/** A batch on a busy session, which has room for all of a large read (256 KiB) behind a few headers, and on one that says little. */
const largeBatch = 256 * 1024 + reserved + 4 * headerBytes;
const smallBatch = 4 * 1024;
/** So many small batches in a row, and the session is no longer busy. */
const quietAfter = 8;

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
  /** The data frame that ends the batch, if one does: where its header is, and what it says. No stream: 0. */
  #lastStream = 0;
  #lastAt = 0;
  #lastFlags = 0;
  #lastLength = 0;

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
    this.#lastStream = 0;
  }

  /**
   * The header of a data frame. Where the last frame in the batch is one of the same stream, that one goes on instead:
   * one large frame is one view on what the peer has read, and one write of its.
   */
  data(flags: number, stream: number, length: number): void {
    if (flags === 0 && stream === this.#lastStream) {
      this.#lastLength += length;
      putFrameHeader(this.#batch, this.#lastAt, frameTypes.data, this.#lastFlags, stream, this.#lastLength);
      return;
    }
    const at = this.#length;
    this.header(frameTypes.data, flags, stream, length);
    this.#lastAt = at;
    this.#lastStream = stream;
    this.#lastFlags = flags;
    this.#lastLength = length;
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
    this.#lastStream = 0;
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
