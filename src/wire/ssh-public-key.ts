import { Cursor } from "./cursor.ts";
import { joined } from "./joined.ts";
import { sshString } from "./ssh-data.ts";

/** A public key as SSH has it (RFC 4253 §6.6). */
export interface SshPublicKey {
  /** `ssh-ed25519`, for example. */
  readonly type: string;
  /** What follows the type: the fields that are the key. */
  readonly fields: Uint8Array;
}

/** As it goes over the wire, and is hashed for a fingerprint. */
export const sshKeyBlob = ({ type, fields }: SshPublicKey): Uint8Array => joined([sshString(type), fields]);

const maxLineLength = 16 * 1024;
const rsaBits = { min: 2048, max: 16_384 } as const;
const maxApplicationLength = 255;

/** The next `string`. */
function readString(cursor: Cursor): Uint8Array | undefined {
  const length = cursor.u32();
  return length === undefined ? undefined : cursor.bytes(length);
}

function readText(cursor: Cursor): string | undefined {
  const bytes = readString(cursor);
  return bytes === undefined
    ? undefined
    : String.fromCharCode(...bytes.subarray(0, maxApplicationLength + 1));
}

/** How many bits the next `mpint` has; `undefined` where it is negative, zero or not as short as it can be. */
function mpintBits(cursor: Cursor): number | undefined {
  const bytes = readString(cursor);
  const [first, second = 0] = bytes ?? [];
  if (bytes === undefined || first === undefined || first >= 0x80) return undefined;
  if (first === 0) return second >= 0x80 ? (bytes.length - 1) * 8 : undefined;
  return (bytes.length - 1) * 8 + (32 - Math.clz32(first));
}

const isEd25519 = (cursor: Cursor): boolean => readString(cursor)?.length === 32;

/** An uncompressed point (RFC 5656 §3.1). */
function isPoint(cursor: Cursor, curve: string, octets: number): boolean {
  const name = readText(cursor);
  const point = readString(cursor);
  return name === curve && point?.length === 1 + 2 * octets && point[0] === 4;
}

/** What a security key's owner registered it for, `ssh:` and what may follow. */
const isApplication = (cursor: Cursor): boolean =>
  /^ssh:[\x21-\x7e]*$/.test(readText(cursor) ?? "") && cursor.left === 0;

function isRsa(cursor: Cursor): boolean {
  const exponent = mpintBits(cursor) ?? 0;
  const modulus = mpintBits(cursor) ?? 0;
  return exponent >= 2 && exponent <= 64 && modulus >= rsaBits.min && modulus <= rsaBits.max;
}

/** The kinds of key that certificates are made for, and what their fields have to be. */
const kinds: Readonly<Record<string, (cursor: Cursor) => boolean>> = {
  "ssh-ed25519": isEd25519,
  "ecdsa-sha2-nistp256": (cursor) => isPoint(cursor, "nistp256", 32),
  "ecdsa-sha2-nistp384": (cursor) => isPoint(cursor, "nistp384", 48),
  "ecdsa-sha2-nistp521": (cursor) => isPoint(cursor, "nistp521", 66),
  "ssh-rsa": isRsa,
  "sk-ssh-ed25519@openssh.com": (cursor) => isEd25519(cursor) && isApplication(cursor),
  "sk-ecdsa-sha2-nistp256@openssh.com": (cursor) => isPoint(cursor, "nistp256", 32) && isApplication(cursor),
};

function decoded(base64: string): Uint8Array | null {
  try {
    return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  } catch {
    return null;
  }
}

/** Reads the one line of a `.pub` file: type, Base64, comment. The problem never repeats what was given. */
export function parseSshPublicKey(text: string): SshPublicKey | { readonly problem: string } {
  const line = text.length > maxLineLength ? "" : text.trim();
  const [, type = "", base64 = ""] =
    /^([a-z0-9@.-]+) +([A-Za-z0-9+/]+={0,2})(?: [^\r\n]*)?$/.exec(line) ?? [];
  const blob = decoded(base64);
  if (type === "" || blob === null)
    return { problem: "is no SSH public key: expected one line such as ssh-ed25519 AAAA…" };
  const fits = Object.hasOwn(kinds, type) ? kinds[type] : undefined;
  if (fits === undefined)
    return { problem: `is a key of another kind: expected one of ${Object.keys(kinds).join(", ")}` };
  const cursor = new Cursor(blob);
  const named = readText(cursor);
  const start = cursor.at;
  if (named !== type || !fits(cursor) || !cursor.done)
    return { problem: "is a damaged key, or an RSA key of fewer than 2048 bits" };
  return { type, fields: blob.subarray(start) };
}
