/**
 * A bounded reader over little-endian bytes. A read past the end gives `undefined` and spoils the reader: every later
 * read gives `undefined` too, so that a parser may check once.
 */
export class Reader {
  readonly #bytes: Uint8Array;
  #at: number;
  #spoiled = false;

  constructor(bytes: Uint8Array, start = 0) {
    this.#bytes = bytes;
    this.#at = start;
  }

  get left(): number {
    return this.#spoiled ? 0 : this.#bytes.length - this.#at;
  }

  /** The next `count` bytes, as a view on the input. */
  bytes(count: number): Uint8Array | undefined {
    if (this.#spoiled || count > this.#bytes.length - this.#at) {
      this.#spoiled = true;
      return undefined;
    }
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  uint(size: 1 | 2 | 3 | 4): number | undefined {
    const bytes = this.bytes(size);
    if (bytes === undefined) return undefined;
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 256 + (bytes[i] ?? 0);
    return value;
  }

  /** A length-encoded integer ("int<lenenc>"). More than a number holds is as good as past the end. */
  lengthEncoded(): number | undefined {
    const begins = this.uint(1);
    if (begins === undefined || begins < 0xfb) return begins;
    if (begins === 0xfc) return this.uint(2);
    if (begins === 0xfd) return this.uint(3);
    const low = begins === 0xfe ? this.uint(4) : undefined;
    const high = this.uint(4);
    if (low === undefined || high === undefined || high >= 2 ** 21) {
      this.#spoiled = true;
      return undefined;
    }
    return high * 2 ** 32 + low;
  }

  /** Up to a zero, which is taken too. */
  zeroEnded(): Uint8Array | undefined {
    const end = this.#spoiled ? -1 : this.#bytes.indexOf(0, this.#at);
    if (end < 0) {
      this.#spoiled = true;
      return undefined;
    }
    const bytes = this.#bytes.subarray(this.#at, end);
    this.#at = end + 1;
    return bytes;
  }

  /** All that is left. */
  rest(): Uint8Array | undefined {
    return this.bytes(this.left);
  }
}

// Nothing is left out of a name, a byte order mark neither: the server would take it for another.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
export const text = (bytes: Uint8Array): string => decoder.decode(bytes);

/** Puts a packet together. */
export class Writer {
  readonly #parts: Uint8Array[] = [];

  bytes(bytes: Uint8Array): this {
    this.#parts.push(bytes);
    return this;
  }

  uint(size: 1 | 2 | 3 | 4, value: number): this {
    const bytes = new Uint8Array(size);
    for (let i = 0; i < size; i++) bytes[i] = (value >>> (8 * i)) & 255;
    return this.bytes(bytes);
  }

  /** With its length before it; a length of 64 KiB and more does not come up. */
  lengthEncoded(bytes: Uint8Array): this {
    if (bytes.length < 0xfb) this.uint(1, bytes.length);
    else this.uint(1, 0xfc).uint(2, bytes.length);
    return this.bytes(bytes);
  }

  text(value: string): this {
    return this.bytes(new TextEncoder().encode(value));
  }

  zeroEnded(value: string | Uint8Array): this {
    return (typeof value === "string" ? this.text(value) : this.bytes(value)).uint(1, 0);
  }

  done(): Uint8Array {
    const whole = new Uint8Array(this.#parts.reduce((size, part) => size + part.length, 0));
    let at = 0;
    for (const part of this.#parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }
}
