import { Cursor, more, no, ok, type Parsed } from "./cursor.ts";

/**
 * The frames of yamux, which carry many streams over one (https://github.com/hashicorp/yamux/blob/master/spec.md):
 * a header of 12 bytes, and behind that of a data frame its payload.
 */

export const headerBytes = 12;

/** What a frame is (§ Type Field). */
export const frameTypes = { data: 0, windowUpdate: 1, ping: 2, goAway: 3 } as const;
export type FrameType = (typeof frameTypes)[keyof typeof frameTypes];

/** Bits of a header (§ Flag Field). */
export const frameFlags = { syn: 1, ack: 2, fin: 4, rst: 8 } as const;
const allFlags = 15;

/** Why a session goes away (§ Go Away). */
export const goAwayCodes = { normal: 0, protocolError: 1, internalError: 2 } as const;

export interface FrameHeader {
  readonly type: FrameType;
  /** Bits of `frameFlags`. */
  readonly flags: number;
  /** 0 for what concerns the whole session. */
  readonly stream: number;
  /** Bytes of payload, of window, a ping's opaque value, or why the session goes away: as the type has it. */
  readonly length: number;
}

const isType = (type: number): type is FrameType => type <= frameTypes.goAway;

/** Reads a frame's header. How much payload may follow is the stream's window to say. */
export function parseFrameHeader(bytes: Uint8Array): Parsed<FrameHeader> {
  const cursor = new Cursor(bytes);
  const version = cursor.u8();
  const type = cursor.u8();
  const flags = cursor.u16();
  const stream = cursor.u32();
  const length = cursor.u32();
  if (version !== undefined && version !== 0)
    return no("unsupported", `version ${version}, and there is 0 alone`);
  if (type !== undefined && !isType(type)) return no("malformed", `a frame of the unknown type ${type}`);
  if (flags !== undefined && flags > allFlags) return no("malformed", "a flag that is none");
  if (type === undefined || !isType(type) || flags === undefined) return more(headerBytes);
  if (stream === undefined || length === undefined) return more(headerBytes);
  if ((type === frameTypes.ping || type === frameTypes.goAway) !== (stream === 0))
    return no("malformed", "a stream where the session is meant, or the session where a stream is");
  return ok({ type, flags, stream, length }, headerBytes);
}

/** Writes a header into `bytes` at `at`, where there must be room for it. */
export function putFrameHeader(
  bytes: Uint8Array,
  at: number,
  type: FrameType,
  flags: number,
  stream: number,
  length: number,
): void {
  bytes[at] = 0;
  bytes[at + 1] = type;
  bytes[at + 2] = 0;
  bytes[at + 3] = flags;
  bytes[at + 4] = stream >>> 24;
  bytes[at + 5] = stream >>> 16;
  bytes[at + 6] = stream >>> 8;
  bytes[at + 7] = stream;
  bytes[at + 8] = length >>> 24;
  bytes[at + 9] = length >>> 16;
  bytes[at + 10] = length >>> 8;
  bytes[at + 11] = length;
}
