import { type Deadline, deadline } from "../../core/deadline.ts";
import { Refusal } from "../../errors.ts";
import type { HttpBody } from "../../http/exchange.ts";

/** What a body asks of the connection that it comes over. */
export interface BodySource {
  /** Nothing more for now. */
  hold(): void;
  release(): void;
  /** Nobody wants the rest. */
  leave(): void;
}

/** What may wait unread before the upstream is made to wait. */
const highWater = 64 * 1024;

/** What a part takes beside its bytes: in chunks of one byte each that is all of it. */
const partBytes = 128;

const over: IteratorReturnResult<undefined> = { done: true, value: undefined };
const nothing = new Uint8Array(0);

/** An answer's body as it comes; with an error where it was cut. */
export class AnswerBody implements AsyncIterableIterator<Uint8Array>, HttpBody {
  /** As long as there is more to come. */
  #source: BodySource | null;
  readonly #silenceMs: number | null;
  readonly #parts: Uint8Array[] = [];
  #waitingBytes = 0;
  /** Whether somebody has taken a part of it. */
  #begun = false;
  #broke: Error | null = null;
  #waiting: { resolve(next: IteratorResult<Uint8Array>): void; reject(error: Error): void } | null = null;
  #late: Deadline | undefined;

  /** @param silenceMs between two parts; `null`: any */
  constructor(source: BodySource, silenceMs: number | null) {
    this.#source = source;
    this.#silenceMs = silenceMs;
  }

  /** The next part has come. */
  add(part: Uint8Array): void {
    const waiting = this.#waiting;
    if (waiting !== null) {
      this.#waiting = null;
      this.#late?.cancel();
      waiting.resolve({ done: false, value: part });
      return;
    }
    this.#parts.push(part);
    this.#waitingBytes += part.length + partBytes;
    if (this.#waitingBytes >= highWater) this.#source?.hold();
  }

  /** All of it has come. */
  end(): void {
    this.#source = null;
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#late?.cancel();
    waiting?.resolve(over);
  }

  /** No more of it comes. */
  cut(error: Error): void {
    this.#source = null;
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#late?.cancel();
    // Said once: whoever asks again has heard it.
    if (waiting === null) this.#broke = error;
    else waiting.reject(error);
  }

  takeWhole(): Uint8Array | null {
    if (this.#source !== null || this.#begun || this.#broke !== null || this.#parts.length > 1) return null;
    return this.#parts.shift() ?? nothing;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    this.#begun = true;
    const part = this.#parts.shift();
    if (part !== undefined) {
      const wasFull = this.#waitingBytes >= highWater;
      this.#waitingBytes -= part.length + partBytes;
      if (wasFull && this.#waitingBytes < highWater) this.#source?.release();
      return Promise.resolve({ done: false, value: part });
    }
    const broke = this.#broke;
    if (broke !== null) {
      this.#broke = null;
      return Promise.reject(broke);
    }
    if (this.#source === null) return Promise.resolve(over);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      const ms = this.#silenceMs;
      if (ms !== null) this.#late = deadline(ms, this.#silent);
    });
  }

  readonly #silent = (): void => {
    const source = this.#source;
    this.cut(
      new Refusal("idle_timeout", `the upstream sent nothing of its answer for ${this.#silenceMs} ms`),
    );
    source?.leave();
  };

  /** Nobody wants the rest. */
  return(): Promise<IteratorResult<Uint8Array>> {
    const source = this.#source;
    this.end();
    this.#parts.length = 0;
    this.#waitingBytes = 0;
    source?.leave();
    return Promise.resolve(over);
  }
}
