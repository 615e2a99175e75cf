import type { WireCode } from "../errors.ts";

/**
 * What a pure parser answers. `more`: the bytes so far are a good beginning and at least `atLeast`
 * bytes in all (counted from the start of the input) are needed to say anything else. `no`: no
 * continuation of these bytes can be good.
 */
export type Parsed<T> =
  | { readonly kind: "ok"; readonly value: T; readonly used: number }
  | { readonly kind: "more"; readonly atLeast: number }
  | { readonly kind: "no"; readonly code: WireCode; readonly detail: string };

export const ok = <T>(value: T, used: number): Parsed<T> => ({ kind: "ok", value, used });
export const more = (atLeast: number): Parsed<never> => ({ kind: "more", atLeast });
export const no = (code: WireCode, detail: string): Parsed<never> => ({ kind: "no", code, detail });

/**
 * A bounded reader over big-endian (network order) bytes. A read past the end gives `undefined` and
 * spoils the cursor: every later read gives `undefined` too, so that a parser may check once.
 */
export class Cursor {
  readonly #bytes: Uint8Array;
  readonly #end: number;
  #at: number;
  #spoiled = false;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = Math.min(end, bytes.length);
  }

  get at(): number {
    return this.#at;
  }

  get left(): number {
    return this.#spoiled ? 0 : this.#end - this.#at;
  }

  /** True when everything was read and nothing was read past the end. */
  get done(): boolean {
    return !this.#spoiled && this.#at === this.#end;
  }

  #take(count: number): number | undefined {
    if (this.#spoiled || count > this.#end - this.#at) {
      this.#spoiled = true;
      return undefined;
    }
    const start = this.#at;
    this.#at += count;
    return start;
  }

  skip(count: number): void {
    this.#take(count);
  }

  u8(): number | undefined {
    const start = this.#take(1);
    return start === undefined ? undefined : this.#bytes[start];
  }

  u16(): number | undefined {
    const start = this.#take(2);
    return start === undefined ? undefined : ((this.#bytes[start] ?? 0) << 8) | (this.#bytes[start + 1] ?? 0);
  }

  u24(): number | undefined {
    return this.#uint(3);
  }

  u32(): number | undefined {
    return this.#uint(4);
  }

  #uint(size: number): number | undefined {
    const start = this.#take(size);
    if (start === undefined) return undefined;
    let value = 0;
    for (let i = start; i < start + size; i++) value = value * 256 + (this.#bytes[i] ?? 0);
    return value;
  }

  /** The next `count` bytes, as a view on the input. */
  bytes(count: number): Uint8Array | undefined {
    const start = this.#take(count);
    return start === undefined ? undefined : this.#bytes.subarray(start, start + count);
  }

  /** The bytes behind a length prefix of `size` bytes, as a view on the input. */
  vector(size: 1 | 2 | 3): Uint8Array | undefined {
    const length = size === 1 ? this.u8() : size === 2 ? this.u16() : this.u24();
    return length === undefined ? undefined : this.bytes(length);
  }

  /** 16-bit values behind their length in bytes, a prefix of `size` bytes; neither none nor half a one. */
  u16List(size: 1 | 2): number[] | undefined {
    const length = size === 1 ? this.u8() : this.u16();
    if (length === undefined || length === 0 || length % 2 !== 0) return undefined;
    const start = this.#take(length);
    if (start === undefined) return undefined;
    const bytes = this.#bytes;
    const values: number[] = [];
    for (let i = start; i < start + length; i += 2) values.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
    return values;
  }

  /** The next `count` bytes as text, a character a byte. */
  latin1(count: number): string | undefined {
    const start = this.#take(count);
    if (start === undefined) return undefined;
    const bytes = this.#bytes;
    const codes: number[] = [];
    for (let i = start; i < start + count; i++) codes.push(bytes[i] ?? 0);
    return textOf(codes);
  }
}

/** More than a name has; what is longer is put together of parts, for arguments have their place on the stack. */
const atOnce = 1024;

/** At once, where there are few: a text that is made of others is put together once more by whoever looks it up. */
function textOf(codes: readonly number[]): string {
  if (codes.length <= atOnce) return String.fromCharCode(...codes);
  let text = "";
  for (let at = 0; at < codes.length; at += atOnce)
    text += String.fromCharCode(...codes.slice(at, at + atOnce));
  return text;
}
