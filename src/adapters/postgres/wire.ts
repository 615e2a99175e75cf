import { Cursor, more, no, ok, type Parsed } from "../../wire/cursor.ts";

/**
 * The messages of the frontend/backend protocol that come before the first query (PostgreSQL documentation,
 * "Message Formats"). Views on the input are given where bytes are.
 */

const text = new TextEncoder();
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Text of the client's or the server's; `undefined` where it is none in UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  try {
    return utf8.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Up to the next zero byte, which is taken too; `undefined` without one. */
function zeroEnded(cursor: Cursor, bytes: Uint8Array): Uint8Array | undefined {
  const end = bytes.indexOf(0, cursor.at);
  if (end < 0) return undefined;
  const found = cursor.bytes(end - cursor.at);
  cursor.u8();
  return found;
}

function joined(parts: readonly (Uint8Array | string)[]): Uint8Array {
  const encoded = parts.map((part) => (typeof part === "string" ? text.encode(part) : part));
  const bytes = new Uint8Array(encoded.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of encoded) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

/** A message without a type, as the first one of a connection is. */
const untyped = (...parts: readonly (Uint8Array | string)[]): Uint8Array => {
  const body = joined(parts);
  return joined([u32(4 + body.length), body]);
};

/** A message. */
export const message = (type: string, ...parts: readonly (Uint8Array | string)[]): Uint8Array =>
  joined([type, untyped(...parts)]);

export const sslRequest: Uint8Array = untyped(u32(80877103));

/** The client's last word. */
export const terminate: Uint8Array = message("X");

/** What a client asks for in its first message to the server. */
export interface Startup {
  /** Of protocol 3. */
  readonly minor: number;
  /** In their order, no name twice. */
  readonly parameters: readonly (readonly [name: string, value: string])[];
}

/** Reads a StartupMessage, whole, whose length and version have been looked at. */
export function parseStartup(bytes: Uint8Array): Parsed<Startup> {
  const cursor = new Cursor(bytes);
  const length = cursor.u32();
  const major = cursor.u16();
  const minor = cursor.u16();
  if (length === undefined || major === undefined || minor === undefined) return more(8);
  if (bytes.length < length) return more(length);
  if (major !== 3) return no("unsupported", `protocol ${major}.${minor}: only 3 is spoken here`);
  const inside = bytes.subarray(0, length);
  const parameters: (readonly [string, string])[] = [];
  const names = new Set<string>();
  for (;;) {
    const nameBytes = zeroEnded(cursor, inside);
    if (nameBytes === undefined) return no("malformed", "the startup message has no end");
    if (nameBytes.length === 0) break;
    const valueBytes = zeroEnded(cursor, inside);
    if (valueBytes === undefined) return no("malformed", "a startup parameter has no value");
    const name = textOf(nameBytes);
    const value = textOf(valueBytes);
    if (name === undefined || value === undefined)
      return no("malformed", "a startup parameter is no text in UTF-8");
    if (names.has(name)) return no("malformed", `the startup parameter ${name} stands there twice`);
    names.add(name);
    parameters.push([name, value]);
  }
  return cursor.at === length
    ? ok({ minor, parameters }, length)
    : no("malformed", "something stands behind the startup message's end");
}

export const encodeStartup = ({ minor, parameters }: Startup): Uint8Array =>
  untyped(u32(0x30000 + minor), ...parameters.map(([name, value]) => `${name}\0${value}\0`), "\0");

/** What a server gave a session, for requests to cancel what runs in it. */
export interface CancelKey {
  readonly pid: number;
  /** Four bytes up to protocol 3.0, up to 256 since 3.2. */
  readonly secret: Uint8Array;
}

const keyOf = (cursor: Cursor): CancelKey | undefined => {
  const pid = cursor.u32();
  const secret = cursor.bytes(cursor.left);
  return pid === undefined || secret === undefined || secret.length < 4 || secret.length > 256
    ? undefined
    : { pid, secret };
};

/** Reads a CancelRequest, whole. */
export function parseCancel(bytes: Uint8Array): Parsed<CancelKey> {
  const length = new Cursor(bytes).u32();
  if (length === undefined) return more(4);
  if (bytes.length < length) return more(length);
  const key = keyOf(new Cursor(bytes, 8, length));
  return key === undefined ? no("malformed", "a request to cancel without a key") : ok(key, length);
}

export const encodeCancel = ({ pid, secret }: CancelKey): Uint8Array =>
  untyped(u32(80877102), u32(pid), secret);

/** BackendKeyData's. */
export const parseKey = (body: Uint8Array): CancelKey | undefined => keyOf(new Cursor(body));
export const encodeKey = ({ pid, secret }: CancelKey): Uint8Array => message("K", u32(pid), secret);

export interface Message {
  /** One ASCII character. */
  readonly type: string;
  /** A view on the input, without type and length. */
  readonly body: Uint8Array;
  /** A view on the input, as it came. */
  readonly whole: Uint8Array;
}

/** Reads one message of those after the first. */
export function parseMessage(bytes: Uint8Array, maxLength: number): Parsed<Message> {
  const cursor = new Cursor(bytes);
  const type = cursor.u8();
  const length = cursor.u32();
  if (type === undefined || length === undefined) return more(5);
  if (length < 4 || type < 0x20 || type > 0x7e) return no("malformed", "not a message of Postgres's");
  if (length > maxLength) return no("too_large", `a message of ${length} bytes`);
  const whole = bytes.subarray(0, 1 + length);
  return bytes.length < 1 + length
    ? more(1 + length)
    : ok({ type: String.fromCharCode(type), body: whole.subarray(5), whole }, 1 + length);
}

/** What a server says of the login: AuthenticationOk and its like. */
export type Authentication =
  | { readonly kind: "ok" | "cleartext" }
  | { readonly kind: "md5"; readonly salt: Uint8Array }
  | { readonly kind: "sasl"; readonly mechanisms: readonly string[] }
  | { readonly kind: "sasl-continue" | "sasl-final"; readonly data: Uint8Array }
  | { readonly kind: "other"; readonly code: number };

/** Reads the body of an `R` message. */
export function parseAuthentication(body: Uint8Array): Authentication | undefined {
  const cursor = new Cursor(body);
  const code = cursor.u32();
  if (code === undefined) return undefined;
  const rest = body.subarray(4);
  switch (code) {
    case 0:
      return rest.length === 0 ? { kind: "ok" } : undefined;
    case 3:
      return rest.length === 0 ? { kind: "cleartext" } : undefined;
    case 5:
      return rest.length === 4 ? { kind: "md5", salt: rest } : undefined;
    case 10:
      return saslMechanisms(cursor, body);
    case 11:
      return { kind: "sasl-continue", data: rest };
    case 12:
      return { kind: "sasl-final", data: rest };
    default:
      return { kind: "other", code };
  }
}

function saslMechanisms(cursor: Cursor, body: Uint8Array): Authentication | undefined {
  const mechanisms: string[] = [];
  for (;;) {
    const name = zeroEnded(cursor, body);
    if (name === undefined) return undefined;
    if (name.length === 0) return cursor.done ? { kind: "sasl", mechanisms } : undefined;
    mechanisms.push(String.fromCharCode(...name));
  }
}

export const authenticationOk: Uint8Array = message("R", u32(0));
export const authenticationSasl = (mechanisms: readonly string[]): Uint8Array =>
  message("R", u32(10), ...mechanisms.map((name) => `${name}\0`), "\0");

export const passwordMessage = (password: string): Uint8Array => message("p", `${password}\0`);
export const saslInitialResponse = (mechanism: string, data: string): Uint8Array => {
  const bytes = text.encode(data);
  return message("p", `${mechanism}\0`, u32(bytes.length), bytes);
};
export const saslResponse = (data: string): Uint8Array => message("p", data);

/** The first byte of what a SASLInitialResponse carries (RFC 5802 §7: what it says of channel binding). */
export function channelBindingFlag(body: Uint8Array): string | undefined {
  const cursor = new Cursor(body);
  zeroEnded(cursor, body);
  cursor.u32();
  const flag = cursor.u8();
  return flag === undefined ? undefined : String.fromCharCode(flag);
}

/** What a server takes of what the client asked for: NegotiateProtocolVersion. */
export interface Negotiated {
  /** The newest protocol it speaks, as in a StartupMessage. */
  readonly version: number;
  readonly unknown: readonly string[];
}

/** Reads the body of a `v` message. */
export function parseNegotiated(body: Uint8Array): Negotiated | undefined {
  const cursor = new Cursor(body);
  const version = cursor.u32();
  const count = cursor.u32();
  if (version === undefined || count === undefined) return undefined;
  const unknown: string[] = [];
  for (let i = 0; i < count; i++) {
    const name = zeroEnded(cursor, body);
    if (name === undefined) return undefined;
    unknown.push(textOf(name) ?? "");
  }
  return cursor.done ? { version, unknown } : undefined;
}

export const encodeNegotiated = ({ version, unknown }: Negotiated): Uint8Array =>
  message("v", u32(version), u32(unknown.length), ...unknown.map((name) => `${name}\0`));

/** The fields of an ErrorResponse or NoticeResponse that are of use to us. */
export interface ServerError {
  readonly severity: string;
  readonly code: string;
  readonly message: string;
}

const lenient = new TextDecoder();

/** Reads the body of an `E` message, as far as it is one. */
export function parseError(body: Uint8Array): ServerError {
  const cursor = new Cursor(body);
  const fields: Record<string, string> = {};
  for (;;) {
    const tag = cursor.u8();
    if (tag === undefined || tag === 0) break;
    const value = zeroEnded(cursor, body);
    if (value === undefined) break;
    fields[String.fromCharCode(tag)] = lenient.decode(value);
  }
  return {
    severity: fields.V ?? fields.S ?? "ERROR",
    code: fields.C ?? "XX000",
    message: fields.M ?? "",
  };
}
