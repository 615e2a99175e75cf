/**
 * HTTP/2 frames made by hand (RFC 9113 §4.1, RFC 7541 §6.2.2): what no HTTP library would let a client send.
 */

export function frame(type: number, flags: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** An HPACK string, not Huffman-coded (RFC 7541 §5.2). */
function text(value: string): Buffer {
  const bytes = Buffer.from(value, "latin1");
  const length = bytes.length;
  if (length < 127) return Buffer.concat([Buffer.of(length), bytes]);
  const rest: number[] = [];
  for (let left = length - 127; ; left >>= 7) {
    rest.push(left < 128 ? left : (left & 127) | 128);
    if (left < 128) break;
  }
  return Buffer.concat([Buffer.of(127, ...rest), bytes]);
}

export const preface: Buffer = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  frame(4, 0, 0, Buffer.alloc(0)),
]);

export type Fields = readonly (readonly [name: string, value: string])[];

export const headers = (stream: number, fields: Fields, end: boolean): Buffer =>
  frame(
    1,
    end ? 5 : 4,
    stream,
    Buffer.concat(fields.map(([name, value]) => Buffer.concat([Buffer.of(0), text(name), text(value)]))),
  );

export const data = (stream: number, body: string, end: boolean): Buffer =>
  frame(0, end ? 1 : 0, stream, Buffer.from(body, "latin1"));

export const get = (path = "/", authority = "app.test"): Fields => [
  [":method", "GET"],
  [":scheme", "https"],
  [":authority", authority],
  [":path", path],
];

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** The whole frames in what came. */
export function frames(bytes: Buffer): Frame[] {
  const found: Frame[] = [];
  for (let at = 0; at + 9 <= bytes.length; ) {
    const length = bytes.readUIntBE(at, 3);
    if (at + 9 + length > bytes.length) break;
    found.push({
      type: bytes.readUInt8(at + 3),
      flags: bytes.readUInt8(at + 4),
      stream: bytes.readUInt32BE(at + 5),
      payload: bytes.subarray(at + 9, at + 9 + length),
    });
    at += 9 + length;
  }
  return found;
}

/** Whether the stream is over: END_STREAM, RST_STREAM, or GOAWAY for all of them. */
export const over = (bytes: Buffer, stream: number): boolean =>
  frames(bytes).some(
    (one) =>
      one.type === 7 ||
      (one.stream === stream &&
        (one.type === 3 || ((one.type === 0 || one.type === 1) && (one.flags & 1) === 1))),
  );

/** The stream's body so far. */
export const bodyOf = (bytes: Buffer, stream: number): string =>
  frames(bytes)
    .filter((one) => one.type === 0 && one.stream === stream)
    .map((one) => one.payload.toString("latin1"))
    .join("");
