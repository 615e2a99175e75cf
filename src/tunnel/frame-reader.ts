import { type FrameHeader, headerBytes, parseFrameHeader } from "../wire/yamux.ts";

/** What comes in, in the order in which it comes. */
export interface FrameSink {
  /** A frame begins. How many of the bytes behind it are its payload. Throws where the peer breaks the protocol. */
  begin(header: FrameHeader): number;
  /** Some of the payload, a view on what was read. True where the bytes are needed no more. */
  payload(part: Uint8Array, of: Uint8Array): boolean;
  /** The frame is over: at once where it has no payload. */
  end(header: FrameHeader): void;
}

/** Finds frames in the bytes of a connection, cut wherever the network cuts them. Copies no payload. */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #head = new Uint8Array(headerBytes);
  #headLength = 0;
  #current: FrameHeader | null = null;
  #left = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** True where nothing of the chunk is needed any more. Throws what the sink throws, or an error that says what is no frame. */
  push(chunk: Uint8Array): boolean {
    let at = 0;
    let free = true;
    while (at < chunk.length) {
      if (this.#current === null) at = this.#header(chunk, at);
      else {
        const part = chunk.subarray(at, at + this.#left);
        at += part.length;
        this.#left -= part.length;
        free = this.#sink.payload(part, chunk) && free;
      }
      if (this.#current !== null && this.#left === 0) {
        const over = this.#current;
        this.#current = null;
        this.#sink.end(over);
      }
    }
    return free;
  }

  /** Where the header's bytes in this chunk end. */
  #header(chunk: Uint8Array, at: number): number {
    let bytes: Uint8Array = this.#head;
    let end = at + headerBytes;
    if (this.#headLength === 0 && end <= chunk.length) bytes = chunk.subarray(at, end);
    else {
      const part = chunk.subarray(at, at + headerBytes - this.#headLength);
      this.#head.set(part, this.#headLength);
      this.#headLength += part.length;
      end = at + part.length;
      if (this.#headLength < headerBytes) return end;
      this.#headLength = 0;
    }
    const parsed = parseFrameHeader(bytes);
    if (parsed.kind !== "ok") throw new Error(parsed.kind === "no" ? parsed.detail : "no frame");
    this.#left = this.#sink.begin(parsed.value);
    this.#current = parsed.value;
    return end;
  }
}
