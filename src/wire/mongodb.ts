import { documentOf, type Element, int32, int32At, readDocument, type Value, writeDocument } from "./bson.ts";
import { more, no, ok, type Parsed } from "./cursor.ts";
import { joined } from "./joined.ts";

/** Messages of MongoDB's wire protocol: a header in little-endian, and what its last number says. */
export const opCodes = { reply: 1, query: 2004, compressed: 2012, message: 2013 } as const;

export interface MessageHeader {
  /** Of all of it, the header included. */
  readonly length: number;
  readonly requestId: number;
  readonly responseTo: number;
  readonly opCode: number;
}

const headerBytes = 16;
/** What servers say of themselves in `maxMessageSizeBytes`. */
const maxMessage = 48_000_000;
/** What they let a document have, and a little for what a command has around it. */
const maxBody = 16 * 1024 * 1024 + 64 * 1024;

export function parseMessageHeader(bytes: Uint8Array): Parsed<MessageHeader> {
  if (bytes.length < 4) return more(headerBytes);
  const length = int32At(bytes, 0);
  if (length < headerBytes || length > maxMessage) return no("malformed", `a message of ${length} bytes`);
  if (bytes.length < headerBytes) return more(headerBytes);
  const [requestId, responseTo, opCode] = [4, 8, 12].map((at) => int32At(bytes, at));
  return ok(
    { length, requestId: requestId ?? 0, responseTo: responseTo ?? 0, opCode: opCode ?? 0 },
    headerBytes,
  );
}

/** A command as it is asked or answered. */
export interface Command {
  readonly header: MessageHeader;
  readonly flags: number;
  readonly body: readonly Element[];
  /** Where the body ends: more sections may follow in the message. */
  readonly bodyEnd: number;
}

export const messageFlags = { checksum: 1, moreToCome: 2 } as const;
const bodyAt = headerBytes + 4 + 1;
const maxName = 128;
/** How long the checksum is that a message with these flags ends with. */
export const checksumSize = (flags: number): number => ((flags & messageFlags.checksum) === 0 ? 0 : 4);

/** The name of the command that an `OP_MSG` begins, from its first bytes. Its body is its first section. */
export function parseCommandName(bytes: Uint8Array): Parsed<string> {
  const header = parseMessageHeader(bytes);
  if (header.kind !== "ok") return header;
  if (header.value.opCode !== opCodes.message) return no("unsupported", "no OP_MSG");
  const nameAt = bodyAt + 4 + 1;
  if (header.value.length <= nameAt) return no("malformed", "a command of no words");
  if (bytes.length <= nameAt) return more(nameAt + 1);
  if (bytes[bodyAt - 1] !== 0)
    return no("unsupported", "a command that is not in its message's first section");
  const limit = Math.min(header.value.length, nameAt + maxName);
  const end = bytes.subarray(0, limit).indexOf(0, nameAt);
  if (end < 0)
    return bytes.length >= limit
      ? no("malformed", "a command of no name")
      : more(Math.min(bytes.length + 1, limit));
  return ok(String.fromCharCode(...bytes.subarray(nameAt, end)), end + 1);
}

/** A command with its body, of at most `max` bytes, from an `OP_MSG` as far as that. */
export function parseCommand(bytes: Uint8Array, max = maxBody): Parsed<Command> {
  const header = parseMessageHeader(bytes);
  if (header.kind !== "ok") return header;
  const { length, opCode } = header.value;
  if (opCode !== opCodes.message) return no("unsupported", "no OP_MSG");
  if (length < bodyAt + 5) return no("malformed", "a command of no words");
  if (bytes.length < bodyAt + 4) return more(bodyAt + 4);
  if (bytes[bodyAt - 1] !== 0)
    return no("unsupported", "a command that is not in its message's first section");
  const flags = int32At(bytes, headerBytes);
  const size = int32At(bytes, bodyAt);
  const bodyEnd = bodyAt + size;
  const room = length - checksumSize(flags);
  if (size < 5 || bodyEnd > room) return no("malformed", "a command that is longer than its message");
  if (size > max) return no("too_large", "a command that is too long");
  if (bytes.length < bodyEnd) return more(bodyEnd);
  const body = readDocument(bytes.subarray(bodyAt, bodyEnd));
  if (body === null) return no("malformed", "a command that is no BSON");
  return ok({ header: header.value, flags, body, bodyEnd }, bodyEnd);
}

/** What an `OP_QUERY` asks, which drivers begin with. */
export interface Query {
  readonly header: MessageHeader;
  readonly collection: string;
  readonly body: readonly Element[];
}

const maxQuery = 64 * 1024;

/** A whole `OP_QUERY`, which must not be large. */
export function parseQuery(bytes: Uint8Array): Parsed<Query> {
  const header = parseMessageHeader(bytes);
  if (header.kind !== "ok") return header;
  const { length, opCode } = header.value;
  if (opCode !== opCodes.query) return no("unsupported", "no OP_QUERY");
  if (length > maxQuery) return no("too_large", "an OP_QUERY that is too long");
  if (bytes.length < length) return more(length);
  const message = bytes.subarray(0, length);
  const nameEnd = message.indexOf(0, headerBytes + 4);
  const at = nameEnd + 1 + 8;
  if (nameEnd < 0 || length < at + 5) return no("malformed", "an OP_QUERY without a document");
  const end = at + int32At(message, at);
  const body = end > length || end < at ? null : readDocument(message.subarray(at, end));
  if (body === null) return no("malformed", "an OP_QUERY that is no BSON");
  const collection = String.fromCharCode(...message.subarray(headerBytes + 4, nameEnd));
  return ok({ header: header.value, collection, body }, length);
}

const framed = (
  requestId: number,
  responseTo: number,
  opCode: number,
  rest: readonly Uint8Array[],
): Uint8Array => {
  const length = rest.reduce((sum, part) => sum + part.length, headerBytes);
  return joined([int32(length), int32(requestId), int32(responseTo), int32(opCode), ...rest]);
};

/** An `OP_MSG` of one section. */
export const commandMessage = (requestId: number, body: { readonly [name: string]: Value }): Uint8Array =>
  framed(requestId, 0, opCodes.message, [int32(0), Uint8Array.of(0), writeDocument(body)]);

/** A command with these elements alone, its flags but for the checksum's as they were. */
export const commandWith = ({ header, flags }: Command, elements: readonly Element[]): Uint8Array =>
  framed(header.requestId, 0, opCodes.message, [
    int32(flags & ~messageFlags.checksum),
    Uint8Array.of(0),
    documentOf(elements.map(({ whole }) => whole)),
  ]);

/** An `OP_QUERY` for one answer, with these elements alone. */
export const queryWith = ({ header, collection }: Query, elements: readonly Element[]): Uint8Array =>
  framed(header.requestId, 0, opCodes.query, [
    int32(0),
    Uint8Array.from(`${collection}\0`, (c) => c.charCodeAt(0)),
    int32(0),
    int32(-1),
    documentOf(elements.map(({ whole }) => whole)),
  ]);

/** The answer to a command, in the form that it was asked in. */
export function replyTo(
  { requestId, opCode }: MessageHeader,
  body: { readonly [name: string]: Value },
): Uint8Array {
  const document = writeDocument(body);
  if (opCode !== opCodes.query)
    return framed(0, requestId, opCodes.message, [int32(0), Uint8Array.of(0), document]);
  // Flags, a cursor's id, where it begins, how many documents.
  return framed(0, requestId, opCodes.reply, [int32(8), int32(0), int32(0), int32(0), int32(1), document]);
}
