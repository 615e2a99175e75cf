import { joined } from "../../src/wire/joined.ts";

/** Writes DER, right or deliberately wrong: what is asked for is what comes out. */
export type Bytes = Uint8Array;

export const bytes = (...parts: readonly (Bytes | readonly number[])[]): Bytes =>
  joined(parts.map((part) => new Uint8Array(part)));

export function tlv(tag: number, ...parts: readonly (Bytes | readonly number[])[]): Bytes {
  const value = bytes(...parts);
  if (value.length < 0x80) return bytes([tag, value.length], value);
  const length: number[] = [];
  for (let rest = value.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
  return bytes([tag, 0x80 | length.length, ...length], value);
}

export const seq = (...parts: readonly Bytes[]): Bytes => tlv(0x30, ...parts);
export const set = (...parts: readonly Bytes[]): Bytes => tlv(0x31, ...parts);
export const bool = (value: boolean): Bytes => tlv(0x01, [value ? 0xff : 0]);
export const octets = (value: Bytes): Bytes => tlv(0x04, value);
export const bits = (value: Bytes, unused = 0): Bytes => tlv(0x03, [unused], value);
export const utf8 = (text: string): Bytes => tlv(0x0c, new TextEncoder().encode(text));
export const nul: Bytes = tlv(0x05);
export const explicit = (n: number, ...parts: readonly Bytes[]): Bytes => tlv(0xa0 | n, ...parts);
/** The octets of an INTEGER, in hexadecimal. */
export const integer = (hex: string): Bytes => tlv(0x02, Buffer.from(hex, "hex"));

export function oid(text: string): Bytes {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  const octetsOf = (arc: number): number[] => {
    const digits = [arc % 128];
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) {
      digits.unshift(0x80 | (left % 128));
    }
    return digits;
  };
  return tlv(0x06, [first * 40 + second, ...rest].flatMap(octetsOf));
}

/** UTCTime up to 2049, then GeneralizedTime (RFC 5280 §4.1.2.5). */
export function time(ms: number): Bytes {
  const digits = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "");
  const ascii = (text: string): Bytes => new TextEncoder().encode(text);
  return Number(digits.slice(0, 4)) < 2050 ? tlv(0x17, ascii(digits.slice(2))) : tlv(0x18, ascii(digits));
}
