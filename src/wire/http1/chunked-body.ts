import type { WireCode } from "../../errors.ts";
import type { Field } from "./head.ts";
import { kinds, llhttp, paused, roomBytes } from "./llhttp.ts";

/** Of anything but data in one go: a chunk's extensions, or the trailers. */
const maxOverhead = 16 * 1024;

/** What some bytes of a body hold. */
export type Chunks =
  | {
      /** `end`: the last of it was there. */
      readonly kind: "more" | "end";
      /** Views on the input. */
      readonly data: readonly Uint8Array[];
      /** What stands behind the body begins here. */
      readonly used: number;
    }
  | { readonly kind: "no"; readonly code: WireCode; readonly detail: string };

const blanksAround = /^[ \t]+|[ \t]+$/g;

/** A body in chunks (RFC 9112 §7.1), read by llhttp. */
export class ChunkedBody {
  /** The parser's, which reads other bodies in between. */
  readonly #state: Uint8Array;
  readonly #trailers: [name: string, value: string][] = [];
  #inName = false;
  #overhead = 0;

  constructor() {
    this.#state = llhttp().chunkedState();
  }

  /** What came behind it; all of it once it has ended. */
  get trailers(): readonly Field[] {
    return this.#trailers.map(([name, value]) => [name.toLowerCase(), value.replace(blanksAround, "")]);
  }

  /** Reads on. After `end` or `no` there is nothing more to be read. */
  feed(bytes: Uint8Array): Chunks {
    const data: Uint8Array[] = [];
    const parser = llhttp();
    for (let from = 0; from < bytes.length; ) {
      const to = Math.min(bytes.length, from + roomBytes);
      const code = parser.chunkedBody(this.#state, bytes, from, to);
      if (code !== 0 && !(code === paused && parser.complete))
        return { kind: "no", code: "malformed", detail: parser.reason("chunked") };
      if (!this.#take(bytes, from, data))
        return { kind: "no", code: "too_large", detail: `more than ${maxOverhead} bytes beside the data` };
      from += parser.used;
      if (code === paused) return { kind: "end", data, used: from };
    }
    return { kind: "more", data, used: bytes.length };
  }

  /** False where there is too much beside the data. */
  #take(bytes: Uint8Array, from: number, data: Uint8Array[]): boolean {
    const { count, kind, start, length, used } = llhttp();
    let at = 0;
    for (let i = 0; i < count; i++) {
      const begin = start[i] ?? 0;
      const end = begin + (length[i] ?? 0);
      if (kind[i] !== kinds.body) {
        this.#trailer(kind[i] === kinds.name, llhttp().text(begin, end));
        continue;
      }
      this.#overhead += begin - at;
      if (this.#overhead > maxOverhead) return false;
      if (end > begin) this.#overhead = 0;
      data.push(bytes.subarray(from + begin, from + end));
      at = end;
    }
    this.#overhead += used - at;
    return this.#overhead <= maxOverhead;
  }

  /** A name or a value, or the rest of one that came in parts. */
  #trailer(isName: boolean, text: string): void {
    const last = this.#trailers[this.#trailers.length - 1];
    if (isName && (last === undefined || !this.#inName)) this.#trailers.push([text, ""]);
    else if (last !== undefined) last[isName ? 0 : 1] += text;
    this.#inName = isName;
  }
}
