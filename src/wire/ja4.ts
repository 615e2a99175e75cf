import type { ClientHello } from "./client-hello.ts";

/** Values that clients scatter in to keep servers honest (RFC 8701): 0x0a0a, 0x1a1a … 0xfafa. */
export const isGrease = (value: number): boolean =>
  (value & 0x0f0f) === 0x0a0a && value >> 8 === (value & 0xff);

const withoutGrease = (values: readonly number[]): number[] => values.filter((value) => !isGrease(value));
const hexes = new Map<number, string>();

/** Four digits; the few values that clients use are written out once. */
function hex4(value: number): string {
  const known = hexes.get(value);
  if (known !== undefined) return known;
  const text = value.toString(16).padStart(4, "0");
  hexes.set(value, text);
  return text;
}
const two = (count: number): string => String(Math.min(count, 99)).padStart(2, "0");
const byHex = (values: readonly number[]): string[] => Array.from(Uint16Array.from(values).sort(), hex4);

const versionNames = new Map([
  [0x0304, "13"],
  [0x0303, "12"],
  [0x0302, "11"],
  [0x0301, "10"],
  [0x0300, "s3"],
  [0x0002, "s2"],
  [0xfeff, "d1"],
  [0xfefd, "d2"],
  [0xfefc, "d3"],
]);

/** What stands for the hash of nothing. */
const nothing = "000000000000";
const serverNameType = 0;
const alpnType = 16;

/** The first and last character of the first protocol id, in hexadecimal where they are not letters or digits. */
function alpnCode(id: string | undefined): string {
  if (id === undefined) return "00";
  const ends = `${id.charAt(0)}${id.charAt(id.length - 1)}`;
  if (/^[0-9A-Za-z]{2}$/.test(ends)) return ends;
  const bytes = [...id].map((c) => c.charCodeAt(0).toString(16).padStart(2, "0")).join("");
  return `${bytes.charAt(0)}${bytes.charAt(bytes.length - 1)}`;
}

/** The three parts of a JA4; of `b` and `c` the text to be hashed, empty where the hash is all zeroes. */
export interface Ja4Parts {
  readonly a: string;
  readonly b: string;
  readonly c: string;
}

/**
 * What the JA4 fingerprint of a TLS client over TCP is made of (FoxIO, technical_details/JA4.md). GREASE
 * counts nowhere, signature algorithms included: browsers draw those anew for every connection.
 */
export function ja4Parts(hello: ClientHello): Ja4Parts {
  const suites = withoutGrease(hello.cipherSuites);
  const extensions = withoutGrease(hello.extensions);
  const algorithms = withoutGrease(hello.signatureAlgorithms);
  const version = versionNames.get(Math.max(...withoutGrease(hello.versions), 0)) ?? "00";
  const sni = hello.extensions.includes(serverNameType) ? "d" : "i";
  const hashed = byHex(extensions.filter((value) => value !== serverNameType && value !== alpnType)).join(
    ",",
  );
  return {
    a: `t${version}${sni}${two(suites.length)}${two(extensions.length)}${alpnCode(hello.alpn[0])}`,
    b: byHex(suites).join(","),
    c: algorithms.length === 0 ? hashed : `${hashed}_${algorithms.map(hex4).join(",")}`,
  };
}

/** Whether two hellos are made of the same as far as their fingerprint goes, with GREASE in the same places. */
export const isAlike = (a: ClientHello, b: ClientHello): boolean =>
  a.alpn[0] === b.alpn[0] &&
  areAlike(a.cipherSuites, b.cipherSuites) &&
  areAlike(a.extensions, b.extensions) &&
  areAlike(a.signatureAlgorithms, b.signatureAlgorithms) &&
  areAlike(a.versions, b.versions);

function areAlike(a: readonly number[], b: readonly number[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    const one = a[i] ?? 0;
    const other = b[i] ?? 0;
    if (one !== other && !(isGrease(one) && isGrease(other))) return false;
  }
  return true;
}

/** More values than any real client sends. */
const maxKey = 512;

/**
 * A text that tells hellos apart by all that their fingerprint is made of, a character a value, for little: what
 * clients of one kind send is the same but for GREASE. `null` where it would be long.
 */
export function ja4Key(hello: ClientHello): string | null {
  const { versions, cipherSuites, extensions, signatureAlgorithms, alpn } = hello;
  if (cipherSuites.length + extensions.length + signatureAlgorithms.length > maxKey) return null;
  const codes: number[] = [];
  for (const values of [versions, cipherSuites, extensions, signatureAlgorithms]) {
    for (let i = 0; i < values.length; i++) {
      const value = values[i] ?? 0;
      if (!isGrease(value)) codes.push(value);
    }
    // GREASE itself, which is in none of them.
    codes.push(0x0a0a);
  }
  return `${String.fromCharCode(...codes)}${alpn[0] ?? ""}`;
}

/**
 * The JA4 fingerprint, `t13d1516h2_8daaf6152771_e5627efa2ab1`.
 *
 * @param sha256Hex the SHA-256 of a text in lower-case hexadecimal; given, since it is no parser's work
 */
export function ja4(hello: ClientHello, sha256Hex: (text: string) => string): string {
  const { a, b, c } = ja4Parts(hello);
  const short = (text: string): string => (text === "" ? nothing : sha256Hex(text).slice(0, 12));
  return `${a}_${short(b)}_${short(c)}`;
}
