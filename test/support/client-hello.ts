/** Builds ClientHellos byte by byte, good ones and bad ones. */
export interface HelloOptions {
  readonly serverName?: string;
  readonly alpn?: readonly string[];
  readonly extra?: readonly (readonly [type: number, body: readonly number[]])[];
  readonly noExtensions?: boolean;
}

const u16 = (value: number): number[] => [value >> 8, value & 0xff];
const ascii = (text: string): number[] => [...text].map((c) => c.charCodeAt(0));
const vector16 = (bytes: readonly number[]): number[] => [...u16(bytes.length), ...bytes];

/** The handshake message, without records. */
export function clientHello(options: HelloOptions = {}): Uint8Array {
  const extensions: number[] = [];
  const add = (type: number, body: readonly number[]): void => {
    extensions.push(...u16(type), ...vector16(body));
  };
  if (options.serverName !== undefined) add(0, vector16([0, ...vector16(ascii(options.serverName))]));
  if (options.alpn !== undefined) {
    add(16, vector16(options.alpn.flatMap((id) => [id.length, ...ascii(id)])));
  }
  for (const [type, body] of options.extra ?? []) add(type, body);
  const body = [3, 3, ...new Array<number>(32).fill(7), 0, ...vector16([0x13, 0x01, 0xc0, 0x2b]), 1, 0];
  if (options.noExtensions !== true) body.push(...vector16(extensions));
  return Uint8Array.from([1, 0, ...u16(body.length), ...body]);
}

/** The message in handshake records of at most `size` bytes. */
export function records(message: Uint8Array, size = 16_384): Uint8Array {
  const out: number[] = [];
  for (let at = 0; at < message.length; at += size) {
    out.push(22, 3, 1, ...vector16([...message.subarray(at, at + size)]));
  }
  return Uint8Array.from(out);
}
