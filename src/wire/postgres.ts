import { Cursor, more, no, ok, type Parsed } from "./cursor.ts";

/**
 * How a Postgres client begins (PostgreSQL documentation, "Message Formats"): it asks for TLS or GSSAPI encryption
 * first, or sends what it is really after. One that changes its mind says Terminate.
 */
export type PostgresOpening = "ssl" | "gss" | "cancel" | "startup" | "end";

const codes: Readonly<Record<number, PostgresOpening>> = {
  80877103: "ssl",
  80877104: "gss",
  80877102: "cancel",
};

/** Longer than any server takes (`MAX_STARTUP_PACKET_LENGTH`). */
const maxStartup = 10_000;

const terminate = [0x58, 0, 0, 0, 4];

/** Reads a client's first message: a length, a request code or protocol version, and what belongs to that. */
export function parsePostgresOpening(bytes: Uint8Array): Parsed<PostgresOpening> {
  if (bytes.length > 0 && terminate.every((byte, i) => i >= bytes.length || bytes[i] === byte))
    return bytes.length < terminate.length ? more(terminate.length) : ok("end", terminate.length);
  const cursor = new Cursor(bytes);
  const length = cursor.u32();
  const code = cursor.u32();
  if (length === undefined || code === undefined) return more(8);
  const opening = codes[code];
  const fits =
    opening === "ssl" || opening === "gss"
      ? length === 8
      : opening === "cancel"
        ? length >= 12 && length <= 268
        : code >>> 16 === 3 && length >= 8 && length <= maxStartup;
  if (!fits) return no("malformed", "not how a Postgres client begins");
  return bytes.length < length ? more(length) : ok(opening ?? "startup", length);
}

/** Whether a client of Postgres begins so, which its first eight bytes say. */
export function beginsAsPostgres(bytes: Uint8Array): Parsed<true> {
  // No first message is as long as 65536 bytes, and no code is below 3.0: those bytes are told at once.
  if (bytes.subarray(0, 2).some((byte) => byte !== 0))
    return no("malformed", "not how a Postgres client begins");
  if (bytes.length < 8) return more(8);
  const opening = parsePostgresOpening(bytes);
  return opening.kind === "no" ? opening : ok(true, 8);
}

/** The message that a client shows as `FATAL: …` before it closes. */
export function postgresFatal(sqlState: string, message: string): Uint8Array {
  const fields = [
    ["S", "FATAL"],
    ["V", "FATAL"],
    ["C", sqlState],
    ["M", message.replaceAll("\0", " ")],
  ];
  const body = new TextEncoder().encode(`${fields.map(([tag, value]) => `${tag}${value}\0`).join("")}\0`);
  const bytes = new Uint8Array(5 + body.length);
  bytes[0] = 0x45; // E
  new DataView(bytes.buffer).setUint32(1, 4 + body.length);
  bytes.set(body, 5);
  return bytes;
}
