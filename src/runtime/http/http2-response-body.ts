import type { Readable } from "node:stream";
import { type Deadline, deadline } from "../../core/deadline.ts";
import { Refusal } from "../../errors.ts";
import { refused } from "./refused.ts";

const done: IteratorReturnResult<undefined> = { done: true, value: undefined };

/**
 * An HTTP/2 response's body, with an error where it was cut: runtimes disagree on whether the stream itself says so.
 * Not by the stream's own iterator: to that, a stream whose frames have all arrived before it is first asked has
 * closed too early.
 */
export class ResponseBody implements AsyncIterableIterator<Uint8Array> {
  readonly #stream: Readable;
  readonly #complete: () => boolean;
  readonly #silenceMs: number | null;
  /** Whether somebody has taken anything of it. */
  #begun = false;
  #broke: Error | undefined;
  #over = false;
  #waiting: { resolve(next: IteratorResult<Uint8Array>): void; reject(error: Error): void } | undefined;
  #late: Deadline | undefined;

  constructor(stream: Readable, complete: () => boolean, silenceMs: number | null) {
    this.#stream = stream;
    this.#complete = complete;
    this.#silenceMs = silenceMs;
    stream.on("error", (error: Error) => {
      this.#broke ??= error;
      this.#look();
    });
  }

  #begin(): void {
    this.#begun = true;
    this.#over = this.#stream.readableEnded;
    this.#stream.on("readable", this.#look);
    this.#stream.once("end", this.#ended);
    this.#stream.once("close", this.#ended);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    if (!this.#begun) this.#begin();
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#look();
      if (this.#waiting === undefined || this.#silenceMs === null) return;
      const ms = this.#silenceMs;
      this.#late = deadline(ms, () => {
        this.#broke ??= new Refusal("idle_timeout", `the upstream sent nothing of its answer for ${ms} ms`);
        this.#look();
      });
    });
  }

  /** Nobody wants the rest. */
  return(): Promise<IteratorResult<Uint8Array>> {
    this.#leave();
    return Promise.resolve(done);
  }

  readonly #ended = (): void => {
    this.#over = true;
    this.#look();
  };

  readonly #look = (): void => {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    const chunk = this.#broke === undefined ? (this.#stream.read() as Uint8Array | null) : null;
    if (chunk === null && this.#broke === undefined && !this.#over && !this.#stream.destroyed) return;
    this.#waiting = undefined;
    this.#late?.cancel();
    if (chunk !== null) {
      waiting.resolve({ done: false, value: chunk });
      return;
    }
    const broke =
      this.#broke ??
      (this.#complete() ? undefined : new Refusal("upstream_refused", "the upstream cut its response"));
    this.#leave();
    if (broke === undefined) waiting.resolve(done);
    else waiting.reject(refused(broke));
  };

  #leave(): void {
    this.#late?.cancel();
    this.#stream.off("readable", this.#look);
    if (!this.#stream.readableEnded) this.#stream.destroy();
  }
}
