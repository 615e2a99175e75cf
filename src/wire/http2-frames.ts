/** The client's side of HTTP/2 as far as its frames' heads say (RFC 9113 §3.4, §4.1). */
const prefaceLength = 24;
const headLength = 9;

/**
 * Leaves frames of some types out of a stream of frames, however it is cut into chunks. What is in frames is nobody's
 * business here: lengths alone say where they end.
 */
export class FrameFilter {
  readonly #without: ReadonlySet<number>;
  /** Bytes that pass before the next frame's head, and whether they are left out. */
  #pass = prefaceLength;
  #dropping = false;
  #head: number[] = [];

  constructor(without: ReadonlySet<number>) {
    this.#without = without;
  }

  /** What goes on of the next bytes: views on them, or a head that came in parts. */
  take(chunk: Uint8Array): Uint8Array[] {
    const out: Uint8Array[] = [];
    // Where what is to pass began in this chunk.
    let from = 0;
    let at = 0;
    const flush = (to: number): void => {
      if (to > from) out.push(chunk.subarray(from, to));
    };
    while (at < chunk.length) {
      if (this.#pass > 0) {
        const step = Math.min(this.#pass, chunk.length - at);
        this.#pass -= step;
        at += step;
        if (this.#dropping) from = at;
        continue;
      }
      // A head: kept back until all of it is here.
      if (this.#head.length === 0) flush(at);
      while (this.#head.length < headLength && at < chunk.length) this.#head.push(chunk[at++] ?? 0);
      from = at;
      if (this.#head.length < headLength) break;
      const [a = 0, b = 0, c = 0, type = 0] = this.#head;
      this.#pass = (a << 16) | (b << 8) | c;
      this.#dropping = this.#without.has(type);
      if (!this.#dropping) out.push(Uint8Array.from(this.#head));
      this.#head = [];
    }
    flush(at);
    return out;
  }
}

/** Up to the error code: a frame's head, the last stream, the code (RFC 9113 §6.8). */
const goawayLength = headLength + 8;
const goaway = 7;

/** Whether a server has told its client of an error of the whole connection, however what it sends is cut. */
export class ErrorWatch {
  #pass = 0;
  #head: number[] = [];

  /** Whether these bytes complete a GOAWAY that is about an error. */
  take(chunk: Uint8Array): boolean {
    let found = false;
    for (let at = 0; at < chunk.length; ) {
      if (this.#pass > 0) {
        const step = Math.min(this.#pass, chunk.length - at);
        this.#pass -= step;
        at += step;
        continue;
      }
      this.#head.push(chunk[at++] ?? 0);
      if (this.#head.length < headLength) continue;
      const [a = 0, b = 0, c = 0, type = 0] = this.#head;
      const length = (a << 16) | (b << 8) | c;
      const isGoaway = type === goaway && length >= goawayLength - headLength;
      if (isGoaway && this.#head.length < goawayLength) continue;
      found ||= isGoaway && this.#head.slice(-4).some((byte) => byte !== 0);
      this.#pass = length - (this.#head.length - headLength);
      this.#head = [];
    }
    return found;
  }
}
