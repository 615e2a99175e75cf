import { type Tlv, tag } from "../wire/der.ts";
import { Malformed } from "./malformed.ts";

const octets = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/**
 * Lower-case hexadecimal of an INTEGER's octets without a leading zero; with `-` before them when it is
 * negative. Every serial number has one such text and no other.
 */
export function serialText(element: Tlv | undefined, what = "the serial number"): string {
  const [first, second = 0] = element?.value ?? [];
  // DER: the shortest form, in which the first nine bits are not alike (X.690 §8.3.2).
  const padded =
    element !== undefined &&
    element.value.length > 1 &&
    ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
  if (element?.tag !== tag.integer || first === undefined || padded) throw new Malformed(what);
  let hex = "";
  for (const byte of element.value) hex += octets[byte];
  if (first >= 0x80) return `-${hex}`;
  return hex.length > 2 && first === 0 ? hex.slice(2) : hex;
}

/** The octets of a positive serial number's INTEGER, from its text. */
export function serialBytes(serial: string): Uint8Array {
  const digits = /^[89a-f]/.test(serial) ? `00${serial}` : serial;
  return Uint8Array.from(digits.match(/../g) ?? [], (octet) => Number.parseInt(octet, 16));
}
