import type { Connection } from "../types.ts";
import type { Parsed } from "../wire/cursor.ts";

/** What the first bytes turned out to be. `head` is everything read so far, the parsed part included. */
export type Inspected<T> =
  | { readonly kind: "ok"; readonly value: T; readonly used: number; readonly head: Uint8Array }
  | { readonly kind: "no"; readonly code: string; readonly detail: string; readonly head: Uint8Array }
  | { readonly kind: "closed"; readonly head: Uint8Array };

const empty = new Uint8Array(0);

/** What a parser that has made up its mind says of the bytes that it was given. */
const decided = <T>(parsed: Exclude<Parsed<T>, { kind: "more" }>, head: Uint8Array): Inspected<T> =>
  parsed.kind === "ok"
    ? { kind: "ok", value: parsed.value, used: parsed.used, head }
    : { kind: "no", code: parsed.code, detail: parsed.detail, head };

/**
 * Reads until the parser has made up its mind: the only place that asks a peer for more. The parsers
 * bound how much that can be; how long it may take is the caller's deadline, which aborts the connection.
 * Nothing is put back: the caller knows what the next reader needs.
 */
export async function inspect<T>(
  connection: Connection,
  parse: (bytes: Uint8Array) => Parsed<T>,
): Promise<Inspected<T>> {
  return inspectFrom(await connection.read(), connection, parse);
}

/** The same where the first chunk has been read: at once, if that is enough, as it nearly always is. */
export function inspectFrom<T>(
  first: Uint8Array | null,
  connection: Connection,
  parse: (bytes: Uint8Array) => Parsed<T>,
): Inspected<T> | Promise<Inspected<T>> {
  if (first === null) return { kind: "closed", head: empty };
  const parsed = parse(first);
  return parsed.kind === "more" ? readOn(connection, parse, first, parsed.atLeast) : decided(parsed, first);
}

async function readOn<T>(
  connection: Connection,
  parse: (bytes: Uint8Array) => Parsed<T>,
  first: Uint8Array,
  atLeast: number,
): Promise<Inspected<T>> {
  let buffer = first;
  let { length } = first;
  let wanted = atLeast;
  for (;;) {
    const chunk = await connection.read();
    if (chunk === null) return { kind: "closed", head: buffer.subarray(0, length) };
    if (length + chunk.length > buffer.length) {
      const grown = new Uint8Array(Math.max(wanted, 2 * (length + chunk.length)));
      grown.set(buffer.subarray(0, length));
      buffer = grown;
    }
    buffer.set(chunk, length);
    length += chunk.length;
    // The parser said how much it needs: a peer that sends byte by byte does not make it start over each time.
    if (length < wanted) continue;
    const head = buffer.subarray(0, length);
    const parsed = parse(head);
    if (parsed.kind !== "more") return decided(parsed, head);
    wanted = parsed.atLeast;
  }
}
