import { Cursor, more, no, ok, type Parsed } from "./cursor.ts";

/** JSON objects, each behind its length in two bytes: what is said beside the frames of a tunnel. */

/** Longer is no message. */
export const maxMessage = 16 * 1024;
const maxText = 200;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export type Members = Readonly<Record<string, unknown>>;

/** The length, and then an object; what it holds is for `read` to say. */
export function parseShort<T>(
  bytes: Uint8Array,
  what: string,
  read: (members: Members) => T | null,
): Parsed<T> {
  const cursor = new Cursor(bytes);
  const length = cursor.u16();
  if (length === undefined) return more(2);
  if (length > maxMessage) return no("too_large", `${what} of ${length} bytes`);
  const body = cursor.bytes(length);
  if (body === undefined) return more(2 + length);
  let value: unknown;
  try {
    value = JSON.parse(decoder.decode(body));
  } catch {
    return no("malformed", `${what} that is no JSON`);
  }
  const members = typeof value === "object" && value !== null ? read(value as Members) : null;
  return members === null ? no("malformed", `${what} that says something else`) : ok(members, 2 + length);
}

export function encodeShort(value: unknown): Uint8Array {
  const body = new TextEncoder().encode(JSON.stringify(value));
  const bytes = new Uint8Array(2 + body.length);
  bytes[0] = body.length >> 8;
  bytes[1] = body.length;
  bytes.set(body, 2);
  return bytes;
}

/** What a peer says for people to read: never more than a line. */
export const line = (value: unknown): string =>
  typeof value === "string" ? value.replace(/[\p{Cc}\p{Cf}]/gu, " ").slice(0, maxText) : "";
