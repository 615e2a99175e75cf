/**
 * DER (X.690), strictly: definite, shortest lengths only, tag numbers below 31. What is not that is
 * `undefined`, at every level.
 */
export interface Tlv {
  /** The identifier octet. */
  readonly tag: number;
  readonly value: Uint8Array;
  /** Tag, length and value. */
  readonly raw: Uint8Array;
}

export const tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  enumerated: 0x0a,
  oid: 0x06,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Context-specific tags: primitive `[n]`, constructed `[n]`. */
export const context = (n: number): number => 0x80 | n;
export const constructed = (n: number): number => 0xa0 | n;

/** The element that begins at `at`, or `undefined`. */
export function readTlv(bytes: Uint8Array, at = 0): Tlv | undefined {
  const identifier = bytes[at];
  const first = bytes[at + 1];
  if (identifier === undefined || first === undefined || (identifier & 0x1f) === 0x1f) return undefined;
  let length = first;
  let start = at + 2;
  if (first >= 0x80) {
    const size = first & 0x7f;
    if (size === 0 || size > 4) return undefined;
    length = 0;
    for (let i = 0; i < size; i++) length = length * 256 + (bytes[start + i] ?? Number.NaN);
    start += size;
    const shortest = length >= 0x80 && length >= 2 ** (8 * (size - 1));
    if (!shortest) return undefined;
  }
  const end = start + length;
  if (!(end <= bytes.length)) return undefined;
  return { tag: identifier, value: bytes.subarray(start, end), raw: bytes.subarray(at, end) };
}

/** The one element that fills `bytes`, if it has that tag. */
export function only(bytes: Uint8Array | undefined, wanted: number): Tlv | undefined {
  const found = bytes === undefined ? undefined : readTlv(bytes);
  return found !== undefined && found.tag === wanted && found.raw.length === bytes?.length
    ? found
    : undefined;
}

/** More of them than stand in a row anywhere but in revocation lists, which are read one by one. */
const maxElements = 20_000;

/** Every element in `bytes`, or `undefined` where it is not a row of elements, or one without end. */
export function elements(bytes: Uint8Array | undefined): Tlv[] | undefined {
  if (bytes === undefined) return undefined;
  const found: Tlv[] = [];
  for (let at = 0; at < bytes.length; ) {
    const next = readTlv(bytes, at);
    if (next === undefined || found.length === maxElements) return undefined;
    found.push(next);
    at += next.raw.length;
  }
  return found;
}

/** The elements of a SEQUENCE that fills `bytes`. */
export const sequence = (bytes: Uint8Array | undefined): Tlv[] | undefined =>
  elements(only(bytes, tag.sequence)?.value);

/** Longer ones than any that is in use; an arc made of a UUID has 19 octets. */
const maxOidBytes = 128;

/** Dotted decimal. */
export function oidText(value: Uint8Array): string | undefined {
  if (value.length === 0 || value.length > maxOidBytes) return undefined;
  const arcs: (number | bigint)[] = [];
  let arc: number | bigint = 0;
  let fresh = true;
  for (const byte of value) {
    if (fresh && byte === 0x80) return undefined;
    fresh = false;
    // Numbers as long as they are exact, since nearly all arcs are small.
    if (typeof arc === "number" && arc > Number.MAX_SAFE_INTEGER / 256) arc = BigInt(arc);
    arc = typeof arc === "number" ? arc * 128 + (byte & 0x7f) : arc * 128n + BigInt(byte & 0x7f);
    if (byte & 0x80) continue;
    if (arcs.length === 0) {
      const top = arc < 80 ? Math.floor(Number(arc) / 40) : 2;
      arcs.push(top, typeof arc === "number" ? arc - top * 40 : arc - BigInt(top * 40));
    } else arcs.push(arc);
    arc = 0;
    fresh = true;
  }
  return fresh ? arcs.join(".") : undefined;
}

/** Dotted decimal of an OBJECT IDENTIFIER element. */
export const objectIdentifier = (element: Tlv | undefined): string | undefined =>
  element?.tag === tag.oid ? oidText(element.value) : undefined;

/** A small non-negative INTEGER. */
export function smallInteger(element: Tlv | undefined): number | undefined {
  if (element?.tag !== tag.integer || element.value.length === 0 || element.value.length > 4)
    return undefined;
  const [first = 0, second = 0] = element.value;
  if (first & 0x80 || (first === 0 && element.value.length > 1 && !(second & 0x80))) return undefined;
  return element.value.reduce((sum, byte) => sum * 256 + byte, 0);
}

export function booleanValue(element: Tlv | undefined): boolean | undefined {
  if (element?.tag !== tag.boolean || element.value.length !== 1) return undefined;
  const [byte] = element.value;
  return byte === 0xff ? true : byte === 0 ? false : undefined;
}

/** Milliseconds since 1970 of a UTCTime or GeneralizedTime in the forms of RFC 5280 §4.1.2.5. */
export function timeValue(element: Tlv | undefined): number | undefined {
  if (element?.tag === tag.utcTime) {
    const text = String.fromCharCode(...element.value.subarray(0, 16));
    if (!/^\d{12}Z$/.test(text)) return undefined;
    return instant(`${Number(text.slice(0, 2)) < 50 ? "20" : "19"}${text.slice(0, 12)}`);
  }
  const time = generalizedTime(element);
  // Earlier dates are UTCTime: one instant has one encoding.
  return time !== undefined && time >= Date.UTC(2050, 0) ? time : undefined;
}

/** Milliseconds since 1970 of a GeneralizedTime in whole seconds, UTC, whatever its year. */
export function generalizedTime(element: Tlv | undefined): number | undefined {
  if (element?.tag !== tag.generalizedTime) return undefined;
  const text = String.fromCharCode(...element.value.subarray(0, 16));
  return /^\d{14}Z$/.test(text) ? instant(text.slice(0, 14)) : undefined;
}

/** Of year, month, day, hour, minute and second in digits. */
function instant(digits: string): number | undefined {
  const field = (at: number, size: number): number => Number(digits.slice(at, at + size));
  const [month, day, hour, minute, second] = [
    field(4, 2),
    field(6, 2),
    field(8, 2),
    field(10, 2),
    field(12, 2),
  ];
  const time = Date.UTC(field(0, 4), month - 1, day, hour, minute, second);
  const date = new Date(time);
  // Date.UTC carries what is out of range over into the next field.
  const exact =
    date.getUTCMonth() === month - 1 && date.getUTCDate() === day && hour < 24 && minute < 60 && second < 60;
  return exact ? time : undefined;
}
