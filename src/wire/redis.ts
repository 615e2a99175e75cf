import { more, no, ok, type Parsed } from "./cursor.ts";
import { joined } from "./joined.ts";

/**
 * RESP as clients speak it (Redis serialization protocol specification): arrays of bulk strings, or a line of words.
 * What is read here is read by the server again, which must not understand anything else: numbers are taken in their
 * one canonical form and lines with both of their end bytes, though servers bear with more.
 */

const cr = 0x0d;
const lf = 0x0a;
const star = 0x2a;
const dollar = 0x24;

/** A line of words may be as long as servers let it be. */
const maxInline = 64 * 1024;
/** More than any command has that is read as a whole. */
const maxRequest = 64 * 1024;
/** Longer than the name of any command. */
const maxName = 64;
/** So many digits are exact. */
const maxDigits = 15;

const encoder = new TextEncoder();
// Nothing is left out of a name, a byte order mark neither: the server would take it for another.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The beginning of a command, as far as its name. */
export type RequestHead =
  /** Nothing at all, which servers pass over without an answer. */
  | { readonly kind: "empty" }
  /** A line of words, whole. */
  | { readonly kind: "inline"; readonly args: readonly Uint8Array[] }
  /** `name` is in lower case, and `null` where it is longer than any command's; `left`: how many bulk strings follow. */
  | { readonly kind: "array"; readonly name: string | null; readonly left: number };

/** A marker, a number, CR LF. */
function parseNumber(bytes: Uint8Array, marker: number): Parsed<number> {
  const [first] = bytes;
  if (first === undefined) return more(1);
  if (first !== marker) return no("malformed", `expected ${String.fromCharCode(marker)}`);
  const negative = bytes[1] === 0x2d;
  const start = negative ? 2 : 1;
  let value = 0;
  for (let at = start; ; at++) {
    const byte = bytes[at];
    if (byte === undefined) return more(at + 1);
    if (byte >= 0x30 && byte <= 0x39) {
      if (at - start >= maxDigits) return no("too_large", "a number of too many digits");
      if (at > start && value === 0) return no("malformed", "a number with a leading zero");
      value = value * 10 + byte - 0x30;
      continue;
    }
    if (byte !== cr || at === start || (negative && value === 0)) return no("malformed", "no number");
    const end = bytes[at + 1];
    if (end === undefined) return more(at + 2);
    return end === lf ? ok(negative ? -value : value, at + 2) : no("malformed", "CR without LF");
  }
}

/** How long the bulk string is that begins here. */
export function parseBulkHeader(bytes: Uint8Array): Parsed<number> {
  const length = parseNumber(bytes, dollar);
  return length.kind === "ok" && length.value < 0 ? no("malformed", "a bulk string of no length") : length;
}

/** A bulk string, of at most `max` bytes. */
export function parseBulk(bytes: Uint8Array, max: number): Parsed<Uint8Array> {
  const length = parseBulkHeader(bytes);
  if (length.kind !== "ok") return length;
  if (length.value > max) return no("too_large", `a bulk string of more than ${max} bytes`);
  const end = length.used + length.value;
  if (bytes.length < end + 2) return more(end + 2);
  if (bytes[end] !== cr || bytes[end + 1] !== lf) return no("malformed", "a bulk string without its end");
  return ok(bytes.subarray(length.used, end), end + 2);
}

/** Up to the name of the next command. */
export function parseRequestHead(bytes: Uint8Array): Parsed<RequestHead> {
  if (bytes.length === 0) return more(1);
  if (bytes[0] !== star) {
    const line = parseInline(bytes);
    if (line.kind !== "ok") return line;
    return ok(line.value.length === 0 ? { kind: "empty" } : { kind: "inline", args: line.value }, line.used);
  }
  const count = parseNumber(bytes, star);
  if (count.kind !== "ok") return count;
  if (count.value <= 0) return ok({ kind: "empty" }, count.used);
  const rest = bytes.subarray(count.used);
  const length = parseBulkHeader(rest);
  if (length.kind === "ok" && length.value > maxName)
    return ok({ kind: "array", name: null, left: count.value }, count.used);
  const name = parseBulk(rest, maxName);
  if (name.kind === "more") return more(count.used + name.atLeast);
  if (name.kind === "no") return name;
  return ok({ kind: "array", name: commandName(name.value), left: count.value - 1 }, count.used + name.used);
}

/** A whole command, which must not be large; no words in one that servers pass over. */
export function parseRequest(bytes: Uint8Array): Parsed<readonly Uint8Array[]> {
  if (bytes.length === 0) return more(1);
  if (bytes[0] !== star) return parseInline(bytes);
  const count = parseNumber(bytes, star);
  if (count.kind !== "ok") return count;
  const args: Uint8Array[] = [];
  let used = count.used;
  while (args.length < count.value) {
    const arg = parseBulk(bytes.subarray(used), maxRequest);
    if (arg.kind === "no") return arg;
    if (arg.kind === "more" ? used + arg.atLeast > maxRequest : used + arg.used > maxRequest)
      return no("too_large", `a command of more than ${maxRequest} bytes`);
    if (arg.kind === "more") return more(used + arg.atLeast);
    args.push(arg.value);
    used += arg.used;
  }
  return ok(args, used);
}

/** Words on one line, quoted as a shell does; the escapes are those of `sdssplitargs` in Redis. */
function parseInline(bytes: Uint8Array): Parsed<readonly Uint8Array[]> {
  const end = bytes.subarray(0, maxInline).indexOf(lf);
  if (end < 0)
    return bytes.length >= maxInline ? no("too_large", "a line without an end") : more(bytes.length + 1);
  const line = bytes.subarray(0, bytes[end - 1] === cr ? end - 1 : end);
  if (line.includes(0)) return no("malformed", "a zero byte in a line of words");
  const args: Uint8Array[] = [];
  for (let at = 0; ; ) {
    while (isSpace(line[at])) at++;
    if (at >= line.length) return ok(args, end + 1);
    const word: number[] = [];
    const after = readWord(line, at, word);
    if (after < 0) return no("malformed", "unbalanced quotes in a line of words");
    args.push(Uint8Array.from(word));
    at = after;
  }
}

const isSpace = (byte: number | undefined): boolean =>
  byte !== undefined && (byte === 0x20 || (byte >= 9 && byte <= 13));

const escapes: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, b: 8, a: 7 };

/** Where the word ends, or -1 where a quote is not closed, or not at its end. */
function readWord(line: Uint8Array, start: number, word: number[]): number {
  let quote: number | null = null;
  for (let at = start; ; at++) {
    const byte = line[at];
    if (byte === undefined) return quote === null ? at : -1;
    if (quote === null) {
      if (isSpace(byte)) return at;
      if (byte === 0x22 || byte === 0x27) quote = byte;
      else word.push(byte);
      continue;
    }
    if (byte === quote) return at + 1 === line.length || isSpace(line[at + 1]) ? at + 1 : -1;
    const next = line[at + 1];
    if (byte !== 0x5c || next === undefined) {
      word.push(byte);
    } else if (quote === 0x27) {
      word.push(next === quote ? next : byte);
      if (next === quote) at++;
    } else {
      const hex = /^x([0-9a-fA-F]{2})$/.exec(latin1(line.subarray(at + 1, at + 4)))?.[1];
      word.push(hex === undefined ? (escapes[String.fromCharCode(next)] ?? next) : Number.parseInt(hex, 16));
      at += hex === undefined ? 1 : 3;
    }
  }
}

const latin1 = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

/** A command's name as it is compared: ASCII letters in lower case, and nothing else changed. */
export const commandName = (bytes: Uint8Array): string =>
  bytes.length > maxName ? "" : latin1(bytes).replace(/[A-Z]+/g, (letters) => letters.toLowerCase());

/** The text of an argument; `null` where it is not UTF-8. */
export function argumentText(bytes: Uint8Array): string | null {
  try {
    return decoder.decode(bytes);
  } catch {
    return null;
  }
}

/** A command on the wire. */
export function request(args: readonly (string | Uint8Array)[]): Uint8Array {
  const parts: Uint8Array[] = [encoder.encode(`*${args.length}\r\n`)];
  for (const arg of args) {
    const bytes = typeof arg === "string" ? encoder.encode(arg) : arg;
    parts.push(encoder.encode(`$${bytes.length}\r\n`), bytes, Uint8Array.of(cr, lf));
  }
  return joined(parts);
}

/** A reply of one line, which has no line break inside: `+OK`, `-NOPERM …`. */
export const replyLine = (text: string): Uint8Array => encoder.encode(`${text.replace(/[\r\n]+/g, " ")}\r\n`);

/** More than servers say of why they refuse. */
const maxLine = 4096;

/** A reply of one line, without its end; any other reply is none. */
export function parseReplyLine(bytes: Uint8Array): Parsed<string> {
  const [first] = bytes;
  if (first === undefined) return more(1);
  if (first !== 0x2b && first !== 0x2d) return no("malformed", "neither a status nor an error");
  const end = bytes.subarray(0, maxLine).indexOf(cr);
  if (end < 0)
    return bytes.length >= maxLine ? no("too_large", "a line without an end") : more(bytes.length + 1);
  if (bytes.length < end + 2) return more(end + 2);
  if (bytes[end + 1] !== lf) return no("malformed", "CR without LF");
  return ok(argumentText(bytes.subarray(0, end)) ?? latin1(bytes.subarray(0, end)), end + 2);
}
