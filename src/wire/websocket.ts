import { Cursor, more, no, ok, type Parsed } from "./cursor.ts";

/** Frame types (RFC 6455 §5.2, §11.8). */
export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export type Opcode = (typeof opcodes)[keyof typeof opcodes];

/** What stands in front of a frame's payload. */
export interface FrameHeader {
  /** The last frame of its message. */
  readonly final: boolean;
  readonly opcode: Opcode;
  /** Bytes of payload that follow. */
  readonly length: number;
  /** Four bytes, a view on the input; `null` where the payload is not masked. */
  readonly mask: Uint8Array | null;
}

/** The longest header: a length of 8 bytes, and a mask. */
export const maxHeaderBytes = 14;

/** Control frames carry no more, and come in one piece (RFC 6455 §5.5). */
export const maxControlBytes = 125;

const known: ReadonlySet<number> = new Set(Object.values(opcodes));
const isOpcode = (code: number): code is Opcode => known.has(code);
const isControl = (opcode: Opcode): boolean => opcode >= opcodes.close;

/** Reads a frame's header; no extension has been agreed on, so none of their bits may be set. */
export function parseFrameHeader(bytes: Uint8Array): Parsed<FrameHeader> {
  const cursor = new Cursor(bytes);
  const first = cursor.u8();
  const second = cursor.u8();
  if (first === undefined || second === undefined) return more(2);
  if ((first & 0x70) !== 0) return no("malformed", "an extension's bit in a frame, and none was agreed on");
  const opcode = first & 0x0f;
  if (!isOpcode(opcode)) return no("malformed", `a frame of the unknown type ${opcode}`);
  const final = (first & 0x80) !== 0;
  const short = second & 0x7f;
  if (isControl(opcode) && (!final || short > maxControlBytes))
    return no("malformed", "a control frame that is fragmented or too long");
  const masked = (second & 0x80) !== 0;
  const size = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0) + (masked ? 4 : 0);
  if (bytes.length < size) return more(size);
  let length = short;
  if (short === 126) length = cursor.u16() ?? 0;
  if (short === 127) length = (cursor.u32() ?? 0) * 2 ** 32 + (cursor.u32() ?? 0);
  // RFC 6455 §5.2: the shortest form that can hold it.
  if ((short === 126 && length < 126) || (short === 127 && length < 65_536))
    return no("malformed", "a frame's length in a longer form than it needs");
  if (!Number.isSafeInteger(length)) return no("too_large", "a frame longer than can be counted");
  const mask = masked ? (cursor.bytes(4) ?? null) : null;
  return ok({ final, opcode, length, mask }, size);
}

/**
 * The header of a whole frame that is its message's only one.
 *
 * @param length bytes of payload
 * @param mask four bytes, which a client's frames must have and a server's must not (RFC 6455 §5.1)
 */
export function frameHeader(opcode: Opcode, length: number, mask: Uint8Array | null): Uint8Array {
  const extended = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const header = new Uint8Array(2 + extended + (mask === null ? 0 : 4));
  const view = new DataView(header.buffer);
  header[0] = 0x80 | opcode;
  header[1] = (mask === null ? 0 : 0x80) | (extended === 0 ? length : extended === 2 ? 126 : 127);
  if (extended === 2) view.setUint16(2, length);
  if (extended === 8) view.setBigUint64(2, BigInt(length));
  if (mask !== null) header.set(mask, 2 + extended);
  return header;
}

/**
 * Writes such a frame: its header, and a copy of its payload, masked where a mask is given.
 *
 * @param parts of the payload, `length` bytes together
 * @param into where there is room for `maxHeaderBytes` and the payload
 * @returns how long it is
 */
export function putFrame(
  into: Uint8Array,
  opcode: Opcode,
  parts: readonly Uint8Array[],
  length: number,
  mask: Uint8Array | null,
): number {
  const header = frameHeader(opcode, length, mask);
  into.set(header);
  let end = header.length;
  for (const part of parts) {
    into.set(part, end);
    end += part.length;
  }
  if (mask !== null) unmask(into.subarray(header.length, end), mask, 0);
  return end;
}

/** Such a frame by itself. */
export function frame(opcode: Opcode, payload: Uint8Array, mask: Uint8Array | null): Uint8Array {
  const bytes = new Uint8Array(maxHeaderBytes + payload.length);
  return bytes.subarray(0, putFrame(bytes, opcode, [payload], payload.length, mask));
}

/**
 * Masks or unmasks in place (RFC 6455 §5.3): the same operation.
 *
 * @param offset how many of the payload's bytes came before these
 */
export function unmask(bytes: Uint8Array, mask: Uint8Array, offset: number): void {
  const byByte = (from: number, to: number): void => {
    for (let i = from; i < to; i++) bytes[i] = (bytes[i] ?? 0) ^ (mask[(offset + i) % 4] ?? 0);
  };
  // Four at a time from the first address that is divisible by four; the mask is turned to meet it.
  const lead = Math.min((4 - (bytes.byteOffset % 4)) % 4, bytes.length);
  const count = (bytes.length - lead) >> 2;
  byByte(0, lead);
  if (count > 0) {
    const turned = Uint8Array.from({ length: 4 }, (_, i) => mask[(offset + lead + i) % 4] ?? 0);
    const word = new Int32Array(turned.buffer)[0] ?? 0;
    maskWords(new Int32Array(bytes.buffer, bytes.byteOffset + lead, count), word);
  }
  byByte(lead + count * 4, bytes.length);
}

/** Eight at a time, and no question whether they are there: a third of what one at a time costs, and less on Bun. */
function maskWords(words: Int32Array, word: number): void {
  const eights = words.length & ~7;
  for (let i = 0; i < eights; i += 8) {
    words[i] = (words[i] as number) ^ word;
    words[i + 1] = (words[i + 1] as number) ^ word;
    words[i + 2] = (words[i + 2] as number) ^ word;
    words[i + 3] = (words[i + 3] as number) ^ word;
    words[i + 4] = (words[i + 4] as number) ^ word;
    words[i + 5] = (words[i + 5] as number) ^ word;
    words[i + 6] = (words[i + 6] as number) ^ word;
    words[i + 7] = (words[i + 7] as number) ^ word;
  }
  for (let i = eights; i < words.length; i++) words[i] = (words[i] as number) ^ word;
}

/** What the server answers to the client's `Sec-WebSocket-Key`, before hashing (RFC 6455 §4.2.2). */
export const acceptText = (key: string): string => `${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
