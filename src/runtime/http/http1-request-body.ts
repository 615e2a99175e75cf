import { Refusal } from "../../errors.ts";
import type { HttpBody, HttpFields } from "../../http/exchange.ts";
import { ChunkedBody } from "../../wire/http1/chunked-body.ts";
import type { Framing } from "../../wire/http1/head.ts";

/** What may wait of a body that nobody takes before the client is made to wait. */
export const highWater = 64 * 1024;

/** What a part takes beside its bytes: in chunks of one byte each that is all of it. */
const partBytes = 128;

const nothing = new Uint8Array(0);
const done: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** The body of a request on HTTP/1.1, as it comes. Taken once. */
export class Http1RequestBody implements AsyncIterableIterator<Uint8Array>, HttpBody {
  /** Somebody has begun to read it. */
  begun = false;
  /** All of it has come. */
  complete = false;
  /** Bytes that what waits here takes. */
  queued = 0;

  /** Called when somebody begins to read. */
  wanted: () => void = nobody;
  /** Called when there may be room for more. */
  taken: () => void = nobody;

  #left: number;
  readonly #chunks: ChunkedBody | null;
  #queue: Uint8Array[] = [];
  #ignored = false;
  /** Why what is missing will not come. */
  #cut: Refusal | null = null;
  #waiting: { resolve(next: IteratorResult<Uint8Array>): void; reject(error: Error): void } | null = null;

  constructor(framing: Framing) {
    this.#chunks = framing.kind === "chunked" ? new ChunkedBody() : null;
    this.#left = framing.kind === "length" ? framing.bytes : 0;
    this.complete = this.#chunks === null && this.#left === 0;
  }

  get trailers(): HttpFields {
    return this.complete ? (this.#chunks?.trailers ?? []) : [];
  }

  /** Takes what is its own of these bytes, and says how much that was; `null`: they are no chunks. */
  feed(bytes: Uint8Array): number | null {
    if (this.#chunks === null) {
      const used = Math.min(this.#left, bytes.length);
      this.#left -= used;
      this.complete = this.#left === 0;
      this.#add(used === bytes.length ? bytes : bytes.subarray(0, used));
      if (this.complete) this.#end();
      return used;
    }
    const fed = this.#chunks.feed(bytes);
    if (fed.kind === "no") return null;
    this.complete = fed.kind === "end";
    for (const each of fed.data) this.#add(each);
    if (this.complete) this.#end();
    return fed.used;
  }

  #add(bytes: Uint8Array): void {
    if (this.#ignored || bytes.length === 0) return;
    if (this.#waiting !== null) {
      const { resolve } = this.#waiting;
      this.#waiting = null;
      resolve({ done: false, value: bytes });
      return;
    }
    this.#queue.push(bytes);
    this.queued += bytes.length + partBytes;
  }

  #end(): void {
    this.#waiting?.resolve(done);
    this.#waiting = null;
  }

  /** What has not come will not come. */
  broke(): void {
    if (!this.complete)
      this.#breakOff(new Refusal("client_closed", "the client went away in the middle of its request"));
  }

  /** The answer is out, and what comes goes past: to whoever still reads, what they have must not look whole. */
  answered(): void {
    if (!this.complete || this.#queue.length > 0)
      this.#breakOff(new Refusal("client_closed", "the request was answered before its end was taken"));
    this.#ignore();
  }

  #breakOff(why: Refusal): void {
    this.#cut = why;
    this.#waiting?.reject(why);
    this.#waiting = null;
  }

  #ignore(): void {
    this.#ignored = true;
    this.#queue = [];
    this.queued = 0;
    this.taken();
  }

  takeWhole(): Uint8Array | null {
    if (this.begun || !this.complete) return null;
    this.begun = true;
    const [first = nothing] = this.#queue;
    const whole = this.#queue.length < 2 ? first : Buffer.concat(this.#queue);
    this.#queue = [];
    this.queued = 0;
    this.taken();
    return whole;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    if (!this.begun) {
      this.begun = true;
      this.wanted();
    }
    const value = this.#queue.shift();
    if (value !== undefined) {
      this.queued -= value.length + partBytes;
      this.taken();
      return Promise.resolve({ done: false, value });
    }
    if (this.#cut !== null) return Promise.reject(this.#cut);
    if (this.complete || this.#ignored) return Promise.resolve(done);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }

  /** Whoever stops reading early still has an answer to give on the same connection. */
  return(): Promise<IteratorResult<Uint8Array>> {
    this.#cut = null;
    this.#ignore();
    return Promise.resolve(done);
  }
}

const nobody = (): void => {};
