import { Cursor, more, no, ok, type Parsed } from "../wire/cursor.ts";

/** What processes of one router say to each other: JSON, each message behind its length in four bytes. */

/** Longer is no message: what is counted of thousands of routes stays below. */
export const maxMessage = 16 << 20;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export function parseMessage(bytes: Uint8Array): Parsed<unknown> {
  const cursor = new Cursor(bytes);
  const length = cursor.u32();
  if (length === undefined) return more(4);
  if (length > maxMessage) return no("too_large", `a message of ${length} bytes`);
  const body = cursor.bytes(length);
  if (body === undefined) return more(4 + length);
  try {
    const value: unknown = JSON.parse(decoder.decode(body));
    return ok(value, 4 + length);
  } catch {
    return no("malformed", "a message that is no JSON");
  }
}

export function encodeMessage(value: unknown): Uint8Array {
  const body = new TextEncoder().encode(JSON.stringify(value));
  const bytes = new Uint8Array(4 + body.length);
  new DataView(bytes.buffer).setUint32(0, body.length);
  bytes.set(body, 4);
  return bytes;
}
