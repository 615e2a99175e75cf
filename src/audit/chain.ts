/**
 * The chain of an audit log: each line has its number, and the SHA-256 of the line before, all bytes of it but for the
 * newline. So whoever knows the hash of one line knows every line before it.
 */

/** What the next line of a chain follows. */
export interface Link {
  /** Its number; 0 where none has one. */
  readonly seq: number;
  /** SHA-256 of its bytes, in hexadecimal. */
  readonly hash: string;
}

/** What the first line of a chain follows. */
export const genesis: Link = { seq: 0, hash: "0".repeat(64) };

type Sha256Hex = (data: string | Uint8Array) => string;

/** Links records one by one. */
export class Chain {
  last: Link;
  readonly #sha256Hex: Sha256Hex;

  constructor(last: Link, sha256Hex: Sha256Hex) {
    this.last = last;
    this.#sha256Hex = sha256Hex;
  }

  /** A record, one JSON object, as the line that follows the last one. */
  next(record: string): string {
    const seq = this.last.seq + 1;
    const line = `${record.slice(0, -1)},"seq":${seq},"chain":"${this.last.hash}"}`;
    this.last = { seq, hash: this.#sha256Hex(line) };
    return line;
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** What a line says of its place in a chain; `null` where it says nothing, or is no whole line. */
export function placeOf(line: Uint8Array): { readonly seq: number; readonly chain: string } | null {
  try {
    const value: unknown = JSON.parse(decoder.decode(line));
    if (typeof value !== "object" || value === null) return null;
    const { seq, chain } = value as { readonly seq?: unknown; readonly chain?: unknown };
    const sound = Number.isSafeInteger(seq) && typeof chain === "string" && /^[0-9a-f]{64}$/.test(chain);
    return sound ? { seq: seq as number, chain } : null;
  } catch {
    return null;
  }
}

/** What the next line follows, where the last one may be torn. */
export interface End extends Link {
  /** The hash of the line that has the number. */
  readonly numbered: string;
}

/** How a log ends, where the bytes are its end: whole lines, or the last one torn. `null` where there is none. */
export function lastLink(end: Uint8Array, sha256Hex: Sha256Hex): End | null {
  const newline = 0x0a;
  let to = end.at(-1) === newline ? end.length - 1 : end.length;
  let hash: string | null = null;
  while (to > 0) {
    const from = end.lastIndexOf(newline, to - 1) + 1;
    const line = end.subarray(from, to);
    hash ??= sha256Hex(line);
    const place = placeOf(line);
    if (place !== null) {
      const isLast = to >= end.length - 1;
      return { seq: place.seq, hash, numbered: isLast ? hash : sha256Hex(line) };
    }
    to = from - 1;
  }
  return hash === null ? null : { seq: 0, hash, numbered: hash };
}

/** Whether a log that ends so may be one whose last line that anybody knew of was `known`: nothing of it is gone, or another. */
export const goesOn = ({ seq, hash, numbered }: End, known: Link): boolean =>
  seq > known.seq || (seq === known.seq && (seq === 0 || numbered === known.hash || hash === known.hash));
