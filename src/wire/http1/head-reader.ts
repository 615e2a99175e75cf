import { more, type Parsed } from "../cursor.ts";

const nothing = new Uint8Array(0);
const lineFeed = 10;
const carriageReturn = 13;

/** Where an empty line ends behind `from`, if one does. */
function emptyLine(bytes: Uint8Array, from: number): boolean {
  for (let at = bytes.indexOf(lineFeed, from); at >= 0; at = bytes.indexOf(lineFeed, at + 1))
    if (bytes[at - 1] === carriageReturn && bytes[at - 2] === lineFeed) return true;
  return false;
}

/**
 * Puts the parts of a head together. One that comes byte by byte is not read again with each: where its end is not
 * there, only once there is twice as much of it, so that what is none is refused early all the same.
 */
export class HeadReader<T> {
  readonly #parse: (bytes: Uint8Array) => Parsed<T>;
  readonly #maxBytes: number;
  #buffer: Uint8Array = nothing;
  #length = 0;
  #seen = 0;

  /**
   * @param parse what reads heads
   * @param maxBytes at which it has an answer
   */
  constructor(parse: (bytes: Uint8Array) => Parsed<T>, maxBytes: number) {
    this.#parse = parse;
    this.#maxBytes = maxBytes;
  }

  /** Whether there is the beginning of a head. */
  get begun(): boolean {
    return this.#length > 0;
  }

  /** What the last answer is about; behind it, from `used` on, is what comes next. */
  bytes: Uint8Array = nothing;

  read(chunk: Uint8Array): Parsed<T> {
    if (this.#length === 0) {
      this.bytes = chunk;
      const parsed = this.#parse(chunk);
      if (parsed.kind === "more") this.#keep(chunk);
      return parsed;
    }
    this.#append(chunk);
    const bytes = this.#buffer.subarray(0, this.#length);
    if (
      this.#length < 2 * this.#seen &&
      this.#length < this.#maxBytes &&
      !emptyLine(bytes, this.#length - chunk.length)
    )
      return more(this.#length + 1);
    this.bytes = bytes;
    const parsed = this.#parse(bytes);
    if (parsed.kind === "more") this.#seen = this.#length;
    else {
      this.#buffer = nothing;
      this.#length = 0;
    }
    return parsed;
  }

  #keep(chunk: Uint8Array): void {
    this.#buffer = new Uint8Array(Math.max(512, 2 * chunk.length));
    this.#buffer.set(chunk);
    this.#length = chunk.length;
    this.#seen = chunk.length;
    this.bytes = nothing;
  }

  #append(chunk: Uint8Array): void {
    const length = this.#length + chunk.length;
    if (length > this.#buffer.length) {
      const grown = new Uint8Array(2 * length);
      grown.set(this.#buffer.subarray(0, this.#length));
      this.#buffer = grown;
    }
    this.#buffer.set(chunk, this.#length);
    this.#length = length;
  }
}
