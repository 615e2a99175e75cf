import { more, no, ok, type Parsed } from "../cursor.ts";

/** A packet of the MySQL protocol (MySQL internals, "Protocol Basics"): payloads are counted in little-endian. */
export interface MysqlPacket {
  readonly sequence: number;
  /** A view on the input. */
  readonly payload: Uint8Array;
}

export const headerBytes = 4;
/** A packet this long is followed by another, which goes on with it. */
export const fullPacket = 0xffffff;
/** More than any packet before the first command has: what a certificate or ticket takes fits. */
const maxPayload = 0xffff - headerBytes;

/** Reads one packet of the connection phase. */
export function parseMysqlPacket(bytes: Uint8Array): Parsed<MysqlPacket> {
  const [a, b, c, sequence] = bytes;
  if (a === undefined || b === undefined || c === undefined || sequence === undefined)
    return more(headerBytes);
  const length = a | (b << 8) | (c << 16);
  if (length > maxPayload) return no("malformed", "no packet of MySQL's connection phase");
  const size = headerBytes + length;
  return bytes.length < size
    ? more(size)
    : ok({ sequence, payload: bytes.subarray(headerBytes, size) }, size);
}

/** The packet on the wire. */
export function mysqlPacket(sequence: number, payload: Uint8Array): Uint8Array {
  const { length } = payload;
  const bytes = new Uint8Array(headerBytes + length);
  bytes.set([length & 255, (length >> 8) & 255, length >> 16, sequence & 255]);
  bytes.set(payload, headerBytes);
  return bytes;
}

/** What a server's packets begin with. */
export const first = { ok: 0x00, more: 0x01, nextFactor: 0x02, eof: 0xfe, error: 0xff } as const;

/** An error as a server says it. */
export interface MysqlError {
  readonly code: number;
  /** Five characters; `null` in place of a greeting, before capabilities are exchanged. */
  readonly state: string | null;
  readonly message: string;
}

export function errorPayload({ code, state, message }: MysqlError): Uint8Array {
  const text = new TextEncoder().encode(`${state === null ? "" : `#${state}`}${message}`);
  const payload = new Uint8Array(3 + text.length);
  payload.set([first.error, code & 255, code >> 8]);
  payload.set(text, 3);
  return payload;
}

/** Reads an error; `null` where the packet is none. */
export function parseError(payload: Uint8Array): MysqlError | null {
  const [begins, low, high, mark] = payload;
  if (begins !== first.error || low === undefined || high === undefined) return null;
  const text = (from: number, to?: number): string => new TextDecoder().decode(payload.subarray(from, to));
  const stated = mark === 0x23 && payload.length >= 9;
  return {
    code: low | (high << 8),
    state: stated ? text(4, 9) : null,
    message: text(stated ? 9 : 3),
  };
}

/** An error in place of a greeting. */
export const mysqlError = (message: string): Uint8Array =>
  mysqlPacket(0, errorPayload({ code: 1105, state: null, message })); // ER_UNKNOWN_ERROR
