import { joined } from "./joined.ts";

/** SSH's data types (RFC 4251 §5), written. */

export function sshUint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

export function sshUint64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}

/** A `string`: bytes, or text in UTF-8, behind their length. */
export function sshString(value: Uint8Array | string): Uint8Array {
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  return joined([sshUint32(bytes.length), bytes]);
}

/** An `mpint` of a number that is not negative, big-endian: no zeroes before it but one where the first bit is set. */
export function sshMpint(magnitude: Uint8Array): Uint8Array {
  const first = magnitude.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? new Uint8Array() : magnitude.subarray(first);
  return sshString((digits[0] ?? 0) >= 0x80 ? joined([Uint8Array.of(0), digits]) : digits);
}
