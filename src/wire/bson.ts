import { joined } from "./joined.ts";

/**
 * As much of BSON (bsonspec.org, 1.1) as it takes to see what a command is, to write one, and to pass over the rest.
 */

/** One element of a document. */
export interface Element {
  readonly type: number;
  readonly name: string;
  /** The value as it stands, a view on the input. */
  readonly value: Uint8Array;
  /** The whole element, type and name included. */
  readonly whole: Uint8Array;
}

export const bsonTypes = {
  double: 1,
  string: 2,
  document: 3,
  array: 4,
  binary: 5,
  boolean: 8,
  int32: 16,
  int64: 18,
} as const;

/** How long values of these types are. */
const fixed: Readonly<Record<number, number>> = {
  ...{ 1: 8, 6: 0, 7: 12, 8: 1, 9: 8, 10: 0, 16: 4, 17: 8, 18: 8, 19: 16, 127: 0, 255: 0 },
};
/** What is counted besides the bytes that a length in front says. */
const counted: Readonly<Record<number, number>> = { 2: 4, 3: 0, 4: 0, 5: 5, 12: 16, 13: 4, 14: 4, 15: 0 };
const regex = 11;

// Nothing is left out of a name, a byte order mark neither: the server would take it for another.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();

export const int32At = (bytes: Uint8Array, at: number): number =>
  (bytes[at] ?? 0) |
  ((bytes[at + 1] ?? 0) << 8) |
  ((bytes[at + 2] ?? 0) << 16) |
  ((bytes[at + 3] ?? 0) << 24);

/** How many bytes a value of this type has that begins with these; `null`: no such value, `more`: too few to tell. */
export function valueSize(type: number, bytes: Uint8Array): number | "more" | null {
  if (type === regex) {
    const first = bytes.indexOf(0);
    const second = first < 0 ? -1 : bytes.indexOf(0, first + 1);
    return second < 0 ? "more" : second + 1;
  }
  const length = fixed[type];
  const more = counted[type];
  if (length !== undefined) return length;
  if (more === undefined) return null;
  if (bytes.length < 4) return "more";
  const said = int32At(bytes, 0);
  return said < 0 || said + more < 4 ? null : said + more;
}

/** The elements of a document that is the whole input; `null` where that is none. Documents inside are not opened. */
export function readDocument(bytes: Uint8Array): readonly Element[] | null {
  if (bytes.length < 5 || int32At(bytes, 0) !== bytes.length || bytes[bytes.length - 1] !== 0) return null;
  const inside = bytes.subarray(0, bytes.length - 1);
  const elements: Element[] = [];
  for (let at = 4; at < inside.length; ) {
    const type = inside[at] ?? 0;
    const nameEnd = inside.indexOf(0, at + 1);
    const size = nameEnd < 0 ? null : valueSize(type, inside.subarray(nameEnd + 1));
    if (size === null || size === "more") return null;
    const end = nameEnd + 1 + size;
    if (end > inside.length) return null;
    elements.push({
      type,
      name: decoder.decode(inside.subarray(at + 1, nameEnd)),
      value: inside.subarray(nameEnd + 1, end),
      whole: inside.subarray(at, end),
    });
    at = end;
  }
  return elements;
}

/** The text of a string; `null` where the element is none. */
export function textOf(element: Element | undefined): string | null {
  if (element === undefined || element.type !== bsonTypes.string) return null;
  const { value } = element;
  return value[value.length - 1] === 0 ? decoder.decode(value.subarray(4, -1)) : null;
}

/** The bytes of a binary value of the generic kind, or of a string; `null` where the element is neither. */
export function bytesOf(element: Element | undefined): Uint8Array | null {
  if (element?.type === bsonTypes.binary) return element.value.subarray(5);
  const text = textOf(element);
  return text === null ? null : encoder.encode(text);
}

/** A number as far as numbers are exact; `null` where the element is none. */
export function numberOf(element: Element | undefined): number | null {
  if (element === undefined) return null;
  const { type, value } = element;
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  if (type === bsonTypes.int32) return view.getInt32(0, true);
  if (type === bsonTypes.double) return view.getFloat64(0, true);
  if (type === bsonTypes.int64) return Number(view.getBigInt64(0, true));
  return type === bsonTypes.boolean ? (value[0] ?? 0) : null;
}

/** What a written document may hold: numbers are whole ones (int32), bytes generic binary. */
export type Value = string | number | boolean | Uint8Array | { readonly [name: string]: Value };

function encoded(value: Value): readonly [number, Uint8Array] {
  if (typeof value === "string") {
    const text = encoder.encode(value);
    return [bsonTypes.string, joined([int32(text.length + 1), text, Uint8Array.of(0)])];
  }
  if (typeof value === "number") return [bsonTypes.int32, int32(value)];
  if (typeof value === "boolean") return [bsonTypes.boolean, Uint8Array.of(value ? 1 : 0)];
  if (value instanceof Uint8Array)
    return [bsonTypes.binary, joined([int32(value.length), Uint8Array.of(0), value])];
  return [bsonTypes.document, writeDocument(value)];
}

export function int32(value: number): Uint8Array {
  return Uint8Array.of(value & 255, (value >> 8) & 255, (value >> 16) & 255, (value >> 24) & 255);
}

/** A document on the wire, its elements in the order given. */
export function writeDocument(value: { readonly [name: string]: Value }): Uint8Array {
  return documentOf(
    Object.entries(value).map(([name, one]) => {
      const [type, bytes] = encoded(one);
      return joined([Uint8Array.of(type), encoder.encode(name), Uint8Array.of(0), bytes]);
    }),
  );
}

/** A document made of elements as they stand. */
export function documentOf(elements: readonly Uint8Array[]): Uint8Array {
  const length = elements.reduce((sum, one) => sum + one.length, 5);
  return joined([int32(length), ...elements, Uint8Array.of(0)]);
}
