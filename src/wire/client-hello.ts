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

/** Of so few extensions, which is nearly all hellos, each is found sooner in the list than in a set of them. */
const fewExtensions = 64;

const malformed = (detail: string): Parsed<never> => no("malformed", detail);

/**
 * Reads a ClientHello from the first bytes of a connection: TLS records, however the handshake message
 * is cut into them. `used` counts the bytes of the records that hold it.
 */
export const parseClientHello = (bytes: Uint8Array): Parsed<ClientHello> =>
  isInOneRecord(bytes) ? parseBody(bytes, recordHeader, bytes.length) : clientHelloParser()(bytes);

/** Whether they are a ClientHello in one record and nothing else, which nearly all are: nothing is to be put together then. */
function isInOneRecord(bytes: Uint8Array): boolean {
  const length = bytes.length - recordHeader;
  return (
    length >= 4 &&
    length <= maxRecord &&
    bytes[0] === handshakeType &&
    bytes[1] === 3 &&
    (((bytes[3] ?? 0) << 8) | (bytes[4] ?? 0)) === length &&
    bytes[5] === clientHelloType &&
    4 + (((bytes[6] ?? 0) << 16) | ((bytes[7] ?? 0) << 8) | (bytes[8] ?? 0)) === length
  );
}

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
      const known = head.length === 4 ? head : messageHead(head, bytes, start, end);
      if (known.length > 0 && known[0] !== clientHelloType)
        return malformed("the handshake does not begin with a ClientHello");
      const total = messageLength(known);
      const missing = total - have - length;
      if (missing < 0) return malformed("bytes after the ClientHello in its record");
      // What is missing takes at least its own length: no need to read 64 KiB to see that it won't fit.
      if (end > maxHelloBytes || (known.length === 4 && end + missing > maxHelloBytes)) return tooLarge();
      if (bytes.length < end) return more(end);
      if (missing === 0) return parseBody(messageIn(bytes, end, total), 0, end);
      at = end;
      have += length;
      head = known;
    }
  };
}

/** Type and length of the message, as far as they are there: in the records before, and in this one. */
function messageHead(before: readonly number[], bytes: Uint8Array, start: number, end: number): number[] {
  const head = before.slice();
  for (let i = start; i < end && i < bytes.length && head.length < 4; i++) head.push(bytes[i] ?? 0);
  return head;
}

/** With its own four bytes; infinite as long as those are not there. */
const messageLength = (head: readonly number[]): number =>
  head.length < 4
    ? Number.POSITIVE_INFINITY
    : 4 + (((head[1] ?? 0) << 16) | ((head[2] ?? 0) << 8) | (head[3] ?? 0));

const tooLarge = (): Parsed<never> => no("too_large", `a ClientHello of more than ${maxHelloBytes} bytes`);

/** The handshake message out of its records, which are known to be whole, and to end with it. */
function messageIn(bytes: Uint8Array, end: number, length: number): Uint8Array {
  if (end === recordHeader + length) return bytes.subarray(recordHeader, end);
  const message = new Uint8Array(length);
  let have = 0;
  for (let at = 0; at < end; ) {
    const start = at + recordHeader;
    at = start + (((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0));
    message.set(bytes.subarray(start, at), have);
    have += at - start;
  }
  return message;
}

/** In one pass, by one cursor: a view for each list would cost more than reading it, and every connection comes here. */
function parseBody(bytes: Uint8Array, from: number, used: number): Parsed<ClientHello> {
  const cursor = new Cursor(bytes, from + 4);
  const legacyVersion = cursor.u16();
  cursor.skip(32);
  const sessionIdLength = cursor.u8();
  if (legacyVersion === undefined || sessionIdLength === undefined || sessionIdLength > cursor.left)
    return malformed("cut short");
  if (legacyVersion >> 8 !== 3) return malformed("no TLS version");
  if (sessionIdLength > 32) return malformed("a session id longer than 32 bytes");
  cursor.skip(sessionIdLength);
  const cipherSuites = cursor.u16List(2);
  if (cipherSuites === undefined) return malformed("the cipher suites are cut short, empty or of odd length");
  const methods = cursor.u8();
  if (methods === undefined || methods > cursor.left) return malformed("cut short");
  let offersNull = false;
  for (let i = 0; i < methods; i++) if (cursor.u8() === 0) offersNull = true;
  if (!offersNull) return malformed("the null compression method is not offered");

  const hello: Reading = {
    legacyVersion,
    versions: [legacyVersion],
    cipherSuites,
    extensions: [],
    serverName: null,
    alpn: [],
    signatureAlgorithms: [],
    supportedGroups: [],
  };
  const problem = cursor.done ? undefined : parseExtensions(cursor, hello);
  return problem === undefined ? ok(hello, used) : malformed(problem);
}

interface Reading extends ClientHello {
  readonly extensions: number[];
  serverName: string | null;
  alpn: readonly string[];
  signatureAlgorithms: readonly number[];
  supportedGroups: readonly number[];
  versions: readonly number[];
}

function parseExtensions(cursor: Cursor, hello: Reading): string | undefined {
  const size = cursor.u16();
  if (size === undefined || size > cursor.left) return "the extensions are cut short";
  if (size < cursor.left) return "bytes after the extensions";
  const types = hello.extensions;
  let seen: Set<number> | undefined;
  let last = -1;
  while (!cursor.done) {
    const type = cursor.u16();
    const length = cursor.u16();
    if (type === undefined || length === undefined || length > cursor.left)
      return "an extension is cut short";
    if (types.length === fewExtensions) seen = new Set(types);
    if (seen === undefined ? types.includes(type) : seen.has(type))
      return `extension ${type} twice (RFC 8446 §4.2)`;
    if (last === extension.preSharedKey) return "pre_shared_key is not the last extension (RFC 8446 §4.2.11)";
    seen?.add(type);
    types.push(type);
    last = type;
    const end = cursor.at + length;
    const problem = parseExtension(type, cursor, end, hello);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/**
 * Reads one extension, or passes over it. What is read has to end where the extension does: a list whose length says
 * otherwise leaves the cursor elsewhere, or spoilt.
 */
function parseExtension(type: number, cursor: Cursor, end: number, hello: Reading): string | undefined {
  switch (type) {
    case extension.serverName: {
      const name = parseServerName(cursor, end);
      if (name === undefined) return "a malformed server_name (RFC 6066 §3)";
      hello.serverName = name;
      return undefined;
    }
    case extension.alpn: {
      const ids = parseAlpn(cursor, end);
      if (ids === undefined) return "a malformed protocol list (RFC 7301 §3.1)";
      hello.alpn = ids;
      return undefined;
    }
    case extension.supportedGroups: {
      const values = cursor.u16List(2);
      if (values === undefined || cursor.at !== end) return "malformed supported_groups (RFC 8446 §4.2.7)";
      hello.supportedGroups = values;
      return undefined;
    }
    case extension.signatureAlgorithms: {
      const values = cursor.u16List(2);
      if (values === undefined || cursor.at !== end)
        return "malformed signature_algorithms (RFC 8446 §4.2.3)";
      hello.signatureAlgorithms = values;
      return undefined;
    }
    case extension.supportedVersions: {
      const values = cursor.u16List(1);
      if (values === undefined || cursor.at !== end) return "malformed supported_versions (RFC 8446 §4.2.1)";
      hello.versions = values;
      return undefined;
    }
    default:
      // Most types are of no interest here.
      cursor.skip(end - cursor.at);
      return undefined;
  }
}

/**
 * One `host_name` and nothing else: no other type was ever defined, and two of one type are forbidden.
 * Its bytes are taken as they are, NUL included: what is no DNS name matches no route and is refused there.
 */
function parseServerName(cursor: Cursor, end: number): string | undefined {
  const list = cursor.u16();
  if (list === undefined || cursor.at + list !== end) return undefined;
  const type = cursor.u8();
  const length = cursor.u16();
  if (type !== 0 || length === undefined || length === 0 || cursor.at + length !== end) return undefined;
  return cursor.latin1(length);
}

function parseAlpn(cursor: Cursor, end: number): string[] | undefined {
  const list = cursor.u16();
  if (list === undefined || list === 0 || cursor.at + list !== end) return undefined;
  const ids: string[] = [];
  while (cursor.at < end) {
    const length = cursor.u8();
    if (length === undefined || length === 0 || cursor.at + length > end) return undefined;
    const id = cursor.latin1(length);
    if (id === undefined) return undefined;
    ids.push(id);
  }
  return ids;
}
