import { more, no, ok, type Parsed } from "./cursor.ts";

/** A packet of the MySQL protocol (MySQL internals, "Protocol Basics"): payloads are counted in little-endian. */
export interface MysqlPacket {
  readonly sequence: number;
  /** A view on the input. */
  readonly payload: Uint8Array;
}

const headerBytes = 4;
/** More than any packet before the first command has: what a certificate or ticket takes fits. */
const maxPayload = 0xffff - headerBytes;

/** `CLIENT_SSL` among the capability flags. */
const clientSsl = 0x0800;

/** Reads one packet of the connection phase. */
export function parseMysqlPacket(bytes: Uint8Array): Parsed<MysqlPacket> {
  const [a, b, c, sequence] = bytes;
  if (a === undefined || b === undefined || c === undefined || sequence === undefined)
    return more(headerBytes);
  const length = a | (b << 8) | (c << 16);
  if (length === 0 || length > maxPayload) return no("malformed", "no packet of MySQL's connection phase");
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

/** Where the lower capability flags stand in a server's greeting (protocol 10); `null` in what is none. */
function greetingFlags(payload: Uint8Array): number | null {
  if (payload[0] !== 10) return null;
  const versionEnd = payload.indexOf(0, 1);
  // Connection id, eight bytes of the challenge, a zero.
  const at = versionEnd + 1 + 4 + 8 + 1;
  return versionEnd < 0 || payload.length < at + 2 ? null : at;
}

const flagsAt = (payload: Uint8Array, at: number): number =>
  (payload[at] ?? 0) | ((payload[at + 1] ?? 0) << 8);

/** Whether a server's greeting offers TLS; `null` where it is no greeting (an error, most often). */
export function mysqlOffersTls(greeting: Uint8Array): boolean | null {
  const at = greetingFlags(greeting);
  return at === null ? null : (flagsAt(greeting, at) & clientSsl) !== 0;
}

/** The greeting with TLS offered. */
export function mysqlWithTls(greeting: Uint8Array): Uint8Array {
  const at = greetingFlags(greeting);
  const copy = greeting.slice();
  if (at !== null) copy[at + 1] = (copy[at + 1] ?? 0) | (clientSsl >> 8);
  return copy;
}

/** Whether a client's first packet asks for TLS before it says who it is (`SSLRequest`). */
export const mysqlAsksTls = (payload: Uint8Array): boolean =>
  payload.length === 32 && (flagsAt(payload, 0) & clientSsl) !== 0;

/** A client's handshake response without its wish for TLS, for a server that offered none. */
export function mysqlWithoutTls(response: Uint8Array): Uint8Array {
  const copy = response.slice();
  copy[1] = (copy[1] ?? 0) & ~(clientSsl >> 8);
  return copy;
}

/** Whether a server's packet ends the connection phase: OK or an error. */
export const mysqlPhaseEnds = (payload: Uint8Array): boolean => payload[0] === 0x00 || payload[0] === 0xff;

/** Whether the server has more to say before it is the client's turn: that a remembered password was right. */
export const mysqlGoesOn = (payload: Uint8Array): boolean =>
  payload.length === 2 && payload[0] === 0x01 && payload[1] === 0x03;

/** An error in place of a greeting: before capabilities are exchanged it has no SQL state. */
export function mysqlError(message: string): Uint8Array {
  const text = new TextEncoder().encode(message);
  const payload = new Uint8Array(3 + text.length);
  payload.set([0xff, 1105 & 255, 1105 >> 8]); // ER_UNKNOWN_ERROR
  payload.set(text, 3);
  return mysqlPacket(0, payload);
}
