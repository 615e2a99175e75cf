import { Cursor, more, no, ok, type Parsed } from "./cursor.ts";

/** What routing and the record need of a TLS ClientHello (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2). */
export interface ClientHello {
  readonly legacyVersion: number;
  /** At most 32 bytes; what TLS 1.2 resumes by, a random filler in TLS 1.3. */
  readonly sessionId: Uint8Array;
  /** `supported_versions` as offered, or else the legacy version alone; GREASE values included. */
  readonly versions: readonly number[];
  readonly cipherSuites: readonly number[];
  /** Extension types in the order sent, GREASE values included. */
  readonly extensions: readonly number[];
  /** The `host_name` of `server_name` as sent, a character a byte; `null` without one (RFC 6066 §3). */
  readonly serverName: string | null;
  /** Protocol ids in the client's order, a character a byte (RFC 7301 §3.1). */
  readonly alpn: readonly string[];
  /** In the client's order, GREASE values included; empty without the extension. */
  readonly signatureAlgorithms: readonly number[];
  /** Key exchange groups in the client's order, GREASE values included; empty without the extension. */
  readonly supportedGroups: readonly number[];
}

/** More than any real client sends, post-quantum key shares included; what is longer is refused. */
export const maxHelloBytes = 64 * 1024;

const recordHeader = 5;
const maxRecord = 16 * 1024;
const handshakeType = 22;
const clientHelloType = 1;

const extension = {
  serverName: 0,
  supportedGroups: 10,
  signatureAlgorithms: 13,
  alpn: 16,
  preSharedKey: 41,
  supportedVersions: 43,
} as const;

/** The types that are looked into. */
const read: ReadonlySet<number> = new Set([
  extension.serverName,
  extension.supportedGroups,
  extension.signatureAlgorithms,
  extension.alpn,
  extension.supportedVersions,
]);

const malformed = (detail: string): Parsed<never> => no("malformed", detail);

/**
 * Reads a ClientHello from the first bytes of a connection: TLS records, however the handshake message
 * is cut into them. `used` counts the bytes of the records that hold it.
 */
export const parseClientHello = (bytes: Uint8Array): Parsed<ClientHello> => clientHelloParser()(bytes);

/**
 * The same for one connection's growing buffer: every call is given the bytes of the call before and some
 * more. It remembers which records are whole, so that 64 KiB in records of one byte, sent one by one, cost
 * what they should and not their square.
 */
export function clientHelloParser(): (bytes: Uint8Array) => Parsed<ClientHello> {
  /** Where the first record that is not yet whole begins. */
  let at = 0;
  /** Bytes of the handshake message in the records before it, and its type and length as far as they are there. */
  let have = 0;
  let head: readonly number[] = [];

  return (bytes) => {
    if (bytes.length === 0) return more(1);
    if (bytes[0] !== handshakeType)
      return no("not_tls", "the first byte is not that of a TLS handshake record");
    if (bytes.length === 1) return more(2);
    if (bytes[1] !== 3) return no("not_tls", "no TLS version in the record header");
    for (;;) {
      const start = at + recordHeader;
      if (start >= maxHelloBytes) return tooLarge();
      if (bytes.length < start) return more(start);
      if (bytes[at] !== handshakeType) return malformed("another record type inside the ClientHello");
      if (bytes[at + 1] !== 3) return malformed("no TLS version in a record header");
      const length = ((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0);
      if (length === 0) return malformed("an empty handshake record (RFC 8446 §5.1)");
      if (length > maxRecord) return malformed("a record longer than 2^14 bytes (RFC 8446 §5.1)");
      const end = start + length;
      const known =
        head.length === 4 ? head : [...head, ...bytes.subarray(start, Math.min(end, start + 4))].slice(0, 4);
      if (known.length > 0 && known[0] !== clientHelloType)
        return malformed("the handshake does not begin with a ClientHello");
      const total = messageLength(known);
      const missing = total - have - length;
      if (missing < 0) return malformed("bytes after the ClientHello in its record");
      // What is missing takes at least its own length: no need to read 64 KiB to see that it won't fit.
      if (end > maxHelloBytes || (known.length === 4 && end + missing > maxHelloBytes)) return tooLarge();
      if (bytes.length < end) return more(end);
      if (missing === 0) return parseBody(messageIn(bytes.subarray(0, end), total), end);
      at = end;
      have += length;
      head = known;
    }
  };
}

/** With its own four bytes; infinite as long as those are not there. */
const messageLength = ([, high, middle, low]: readonly number[]): number =>
  high === undefined || middle === undefined || low === undefined
    ? Number.POSITIVE_INFINITY
    : 4 + ((high << 16) | (middle << 8) | low);

const tooLarge = (): Parsed<never> => no("too_large", `a ClientHello of more than ${maxHelloBytes} bytes`);

/** The handshake message out of its records, which are known to be whole. */
function messageIn(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length === recordHeader + length) return bytes.subarray(recordHeader);
  const message = new Uint8Array(length);
  let have = 0;
  for (let at = 0; at < bytes.length; ) {
    const start = at + recordHeader;
    at = start + (((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0));
    message.set(bytes.subarray(start, at), have);
    have += at - start;
  }
  return message;
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

  const found: Found = {
    versions: [legacyVersion],
    serverName: null,
    alpn: [],
    signatureAlgorithms: [],
    supportedGroups: [],
  };
  const extensions: number[] = [];
  if (!cursor.done) {
    const block = cursor.vector(2);
    if (block === undefined) return malformed("the extensions are cut short");
    if (!cursor.done) return malformed("bytes after the extensions");
    const problem = parseExtensions(block, extensions, found);
    if (problem !== undefined) return malformed(problem);
  }
  return ok({ legacyVersion, sessionId: sessionId.slice(), cipherSuites, extensions, ...found }, used);
}

interface Found {
  serverName: string | null;
  alpn: readonly string[];
  signatureAlgorithms: readonly number[];
  supportedGroups: readonly number[];
  versions: readonly number[];
}

function parseExtensions(block: Uint8Array, types: number[], found: Found): string | undefined {
  const cursor = new Cursor(block);
  const seen = new Set<number>();
  while (!cursor.done) {
    const type = cursor.u16();
    const length = cursor.u16();
    if (type === undefined || length === undefined || length > cursor.left)
      return "an extension is cut short";
    if (seen.has(type)) return `extension ${type} twice (RFC 8446 §4.2)`;
    if (types.at(-1) === extension.preSharedKey)
      return "pre_shared_key is not the last extension (RFC 8446 §4.2.11)";
    seen.add(type);
    types.push(type);
    const start = cursor.at;
    cursor.skip(length);
    // Most types are of no interest here.
    if (!read.has(type)) continue;
    const problem = parseExtension(type, new Cursor(block, start, cursor.at), found);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

function parseExtension(type: number, cursor: Cursor, found: Found): string | undefined {
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
    case extension.supportedGroups: {
      const values = wholeU16List(cursor, 2);
      if (values === undefined) return "malformed supported_groups (RFC 8446 §4.2.7)";
      found.supportedGroups = values;
      return undefined;
    }
    case extension.signatureAlgorithms: {
      const values = wholeU16List(cursor, 2);
      if (values === undefined) return "malformed signature_algorithms (RFC 8446 §4.2.3)";
      found.signatureAlgorithms = values;
      return undefined;
    }
    case extension.supportedVersions: {
      const values = wholeU16List(cursor, 1);
      if (values === undefined) return "malformed supported_versions (RFC 8446 §4.2.1)";
      found.versions = values;
      return undefined;
    }
    default:
      return undefined;
  }
}

/**
 * One `host_name` and nothing else: no other type was ever defined, and two of one type are forbidden.
 * Its bytes are taken as they are, NUL included: what is no DNS name matches no route and is refused there.
 */
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

/** A list behind its length that is all there is. */
function wholeU16List(cursor: Cursor, size: 1 | 2): number[] | undefined {
  const list = cursor.vector(size);
  return list === undefined || !cursor.done ? undefined : u16List(list);
}

function u16List(bytes: Uint8Array): number[] | undefined {
  if (bytes.length === 0 || bytes.length % 2 !== 0) return undefined;
  const values: number[] = [];
  for (let i = 0; i < bytes.length; i += 2) values.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
  return values;
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i++) text += String.fromCharCode(bytes[i] ?? 0);
  return text;
}
