import { Cursor, more, no, ok, type Parsed } from "./cursor.ts";

/** What routing and the record need of a TLS ClientHello (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2). */
export interface ClientHello {
  readonly legacyVersion: number;
  /** `supported_versions` as offered, or else the legacy version alone; GREASE values included. */
  readonly versions: readonly number[];
  readonly cipherSuites: readonly number[];
  /** Extension types in the order sent, GREASE values included. */
  readonly extensions: readonly number[];
  /** The `host_name` of `server_name` as sent, a character a byte; `null` without one (RFC 6066 §3). */
  readonly serverName: string | null;
  /** Protocol ids in the client's order, a character a byte (RFC 7301 §3.1). */
  readonly alpn: readonly string[];
  readonly signatureAlgorithms: readonly number[];
}

/** More than any real client sends, post-quantum key shares included; what is longer is refused. */
export const maxHelloBytes = 64 * 1024;

const recordHeader = 5;
const maxRecord = 16 * 1024;
const handshakeType = 22;
const clientHelloType = 1;

const extension = {
  serverName: 0,
  signatureAlgorithms: 13,
  alpn: 16,
  preSharedKey: 41,
  supportedVersions: 43,
} as const;

const malformed = (detail: string): Parsed<never> => no("malformed", detail);

/**
 * Reads a ClientHello from the first bytes of a connection: TLS records, however the handshake message
 * is cut into them. `used` counts the bytes of the records that hold it.
 */
export function parseClientHello(bytes: Uint8Array): Parsed<ClientHello> {
  if (bytes.length === 0) return more(1);
  if (bytes[0] !== handshakeType)
    return no("not_tls", "the first byte is not that of a TLS handshake record");
  if (bytes.length > 1 && bytes[1] !== 3) return no("not_tls", "no TLS version in the record header");

  // Pass 1, over the record headers alone: is the message complete, and how long is it?
  let at = 0;
  let have = 0;
  let messageLength: number | undefined;
  const head: number[] = [];
  const fragments: Uint8Array[] = [];
  for (;;) {
    if (bytes.length - at < recordHeader)
      return at + recordHeader > maxHelloBytes ? tooLarge() : more(at + recordHeader);
    if (bytes[at] !== handshakeType) return malformed("another record type inside the ClientHello");
    if (bytes[at + 1] !== 3) return malformed("no TLS version in a record header");
    const length = ((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0);
    if (length === 0) return malformed("an empty handshake record (RFC 8446 §5.1)");
    if (length > maxRecord) return malformed("a record longer than 2^14 bytes (RFC 8446 §5.1)");
    const start = at + recordHeader;
    const end = start + length;
    for (let i = start; i < end && i < bytes.length && head.length < 4; i++) head.push(bytes[i] ?? 0);
    if (head.length > 0 && head[0] !== clientHelloType)
      return malformed("the handshake does not begin with a ClientHello");
    if (head.length === 4 && messageLength === undefined) {
      messageLength = 4 + (((head[1] ?? 0) << 16) | ((head[2] ?? 0) << 8) | (head[3] ?? 0));
      if (messageLength > maxHelloBytes) return tooLarge();
    }
    if (end > maxHelloBytes) return tooLarge();
    if (bytes.length < end) return more(end);
    fragments.push(bytes.subarray(start, end));
    have += length;
    at = end;
    if (messageLength !== undefined && have >= messageLength) break;
  }
  if (have > messageLength) return malformed("bytes after the ClientHello in its record");
  return parseBody(joined(fragments, have), at);
}

const tooLarge = (): Parsed<never> => no("too_large", `a ClientHello of more than ${maxHelloBytes} bytes`);

function joined(fragments: readonly Uint8Array[], length: number): Uint8Array {
  const [only] = fragments;
  if (only !== undefined && fragments.length === 1) return only;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const fragment of fragments) {
    whole.set(fragment, at);
    at += fragment.length;
  }
  return whole;
}

function parseBody(message: Uint8Array, used: number): Parsed<ClientHello> {
  const cursor = new Cursor(message, 4);
  const legacyVersion = cursor.u16();
  const random = cursor.bytes(32);
  const sessionId = cursor.vector(1);
  const suites = cursor.vector(2);
  const compression = cursor.vector(1);
  if (legacyVersion === undefined || random === undefined || sessionId === undefined)
    return malformed("cut short");
  if (suites === undefined || compression === undefined) return malformed("cut short");
  if (legacyVersion >> 8 !== 3) return malformed("no TLS version");
  if (sessionId.length > 32) return malformed("a session id longer than 32 bytes");
  const cipherSuites = u16List(suites);
  if (cipherSuites === undefined) return malformed("the cipher suites are empty or of odd length");
  if (!compression.includes(0)) return malformed("the null compression method is not offered");

  const found: Found = { serverName: null, alpn: [], signatureAlgorithms: [], versions: [legacyVersion] };
  const extensions: number[] = [];
  if (cursor.left > 0 || !cursor.done) {
    const block = cursor.vector(2);
    if (block === undefined) return malformed("the extensions are cut short");
    if (!cursor.done) return malformed("bytes after the extensions");
    const problem = parseExtensions(block, extensions, found);
    if (problem !== undefined) return malformed(problem);
  }
  return ok({ legacyVersion, cipherSuites, extensions, ...found }, used);
}

interface Found {
  serverName: string | null;
  alpn: readonly string[];
  signatureAlgorithms: readonly number[];
  versions: readonly number[];
}

function parseExtensions(block: Uint8Array, types: number[], found: Found): string | undefined {
  const cursor = new Cursor(block);
  const seen = new Set<number>();
  while (!cursor.done) {
    const type = cursor.u16();
    const body = cursor.vector(2);
    if (type === undefined || body === undefined) return "an extension is cut short";
    if (seen.has(type)) return `extension ${type} twice (RFC 8446 §4.2)`;
    if (seen.has(extension.preSharedKey))
      return "pre_shared_key is not the last extension (RFC 8446 §4.2.11)";
    seen.add(type);
    types.push(type);
    const problem = parseExtension(type, body, found);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function parseExtension(type: number, body: Uint8Array, found: Found): string | undefined {
  const cursor = new Cursor(body);
  switch (type) {
    case extension.serverName: {
      const name = parseServerName(cursor);
      if (name === undefined) return "a malformed server_name (RFC 6066 §3)";
      found.serverName = name;
      return undefined;
    }
    case extension.alpn: {
      const ids = parseAlpn(cursor);
      if (ids === undefined) return "a malformed protocol list (RFC 7301 §3.1)";
      found.alpn = ids;
      return undefined;
    }
    case extension.signatureAlgorithms: {
      const list = cursor.vector(2);
      const values = list === undefined || !cursor.done ? undefined : u16List(list);
      if (values === undefined) return "malformed signature_algorithms (RFC 8446 §4.2.3)";
      found.signatureAlgorithms = values;
      return undefined;
    }
    case extension.supportedVersions: {
      const list = cursor.vector(1);
      const values = list === undefined || !cursor.done ? undefined : u16List(list);
      if (values === undefined) return "malformed supported_versions (RFC 8446 §4.2.1)";
      found.versions = values;
      return undefined;
    }
    default:
      return undefined;
  }
}

/** One `host_name` and nothing else: no other type was ever defined, and two of one type are forbidden. */
function parseServerName(cursor: Cursor): string | undefined {
  const list = cursor.vector(2);
  if (list === undefined || !cursor.done) return undefined;
  const entry = new Cursor(list);
  const type = entry.u8();
  const name = entry.vector(2);
  if (type !== 0 || name === undefined || name.length === 0 || !entry.done) return undefined;
  return latin1(name);
}

function parseAlpn(cursor: Cursor): string[] | undefined {
  const list = cursor.vector(2);
  if (list === undefined || list.length === 0 || !cursor.done) return undefined;
  const entries = new Cursor(list);
  const ids: string[] = [];
  while (!entries.done) {
    const id = entries.vector(1);
    if (id === undefined || id.length === 0) return undefined;
    ids.push(latin1(id));
  }
  return ids;
}

function u16List(bytes: Uint8Array): number[] | undefined {
  if (bytes.length === 0 || bytes.length % 2 !== 0) return undefined;
  const values: number[] = [];
  for (let i = 0; i < bytes.length; i += 2) values.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  return values;
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
