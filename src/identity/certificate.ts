import {
  booleanValue,
  constructed,
  context,
  elements,
  oidText,
  only,
  sequence,
  smallInteger,
  type Tlv,
  tag,
  timeValue,
} from "../wire/der.ts";
import { formatIp } from "../wire/ip.ts";
import { type Attribute, formatName, parseName } from "./name.ts";

/** A certificate taken apart (RFC 5280 §4.1), every part a view on its DER. Nothing about it is verified. */
export interface Certificate {
  readonly raw: Uint8Array;
  readonly tbs: Uint8Array;
  /** The signature's AlgorithmIdentifier, the outer one and the one inside the signed part. */
  readonly algorithm: Uint8Array;
  readonly innerAlgorithm: Uint8Array;
  readonly signature: Uint8Array;
  readonly version: number;
  /** Lower-case hexadecimal of the INTEGER's octets without a leading zero; with `-` before them when it is negative. */
  readonly serial: string;
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  readonly subjectName: readonly (readonly Attribute[])[];
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  readonly extensions: ReadonlyMap<string, { readonly critical: boolean; readonly value: Uint8Array }>;
  readonly basicConstraints: { readonly ca: boolean; readonly pathLength: number | null } | null;
  /** Bit 0 is digitalSignature. */
  readonly keyUsage: ReadonlySet<number> | null;
  readonly extendedKeyUsage: readonly string[] | null;
  readonly names: AlternativeNames;
}

export interface AlternativeNames {
  readonly dns: readonly string[];
  readonly email: readonly string[];
  readonly uri: readonly string[];
  readonly ip: readonly string[];
}

export const oids = {
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  extendedKeyUsage: "2.5.29.37",
  clientAuth: "1.3.6.1.5.5.7.3.2",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  anyPurpose: "2.5.29.37.0",
} as const;

/** Larger than any that is in use. */
const maxBytes = 64 * 1024;

class Malformed extends Error {}

const must = <T>(value: T | undefined, what: string): T => {
  if (value === undefined) throw new Malformed(what);
  return value;
};

/** Takes a certificate apart. Answers with words where it is not one. */
export function parseCertificate(der: Uint8Array): Certificate | { readonly malformed: string } {
  try {
    return parse(der);
  } catch (error) {
    if (error instanceof Malformed) return { malformed: error.message };
    throw error;
  }
}

function parse(der: Uint8Array): Certificate {
  if (der.length > maxBytes) throw new Malformed(`longer than ${maxBytes} bytes`);
  const [tbs, algorithm, signature, ...rest] = must(sequence(der), "no DER sequence");
  if (rest.length > 0) throw new Malformed("more than three parts");
  const fields = must(sequence(tbs?.raw), "no signed part");
  const hasVersion = fields[0]?.tag === constructed(0);
  const version = hasVersion ? must(smallInteger(only(fields[0]?.value, tag.integer)), "the version") + 1 : 1;
  const [serial, inner, issuer, validity, subject, spki, ...tail] = fields.slice(hasVersion ? 1 : 0);
  const [notBefore, notAfter, ...more] = must(sequence(validity?.raw), "the validity");
  if (more.length > 0) throw new Malformed("the validity has more than two times");
  const bits =
    signature?.tag === tag.bitString && signature.value[0] === 0 ? signature.value.subarray(1) : undefined;
  const extensions = parseExtensions(tail);
  return {
    raw: der,
    tbs: must(tbs?.raw, "no signed part"),
    algorithm: must(only(algorithm?.raw, tag.sequence)?.raw, "the signature algorithm"),
    innerAlgorithm: must(only(inner?.raw, tag.sequence)?.raw, "the inner signature algorithm"),
    signature: must(bits, "the signature"),
    version,
    serial: serialText(serial),
    issuer: must(only(issuer?.raw, tag.sequence)?.raw, "the issuer"),
    subject: must(only(subject?.raw, tag.sequence)?.raw, "the subject"),
    subjectName: must(parseName(must(subject, "the subject").raw), "the subject"),
    notBefore: must(timeValue(notBefore), "notBefore (RFC 5280 §4.1.2.5)"),
    notAfter: must(timeValue(notAfter), "notAfter (RFC 5280 §4.1.2.5)"),
    spki: must(only(spki?.raw, tag.sequence)?.raw, "the public key"),
    extensions,
    basicConstraints: parseBasicConstraints(extensions.get(oids.basicConstraints)?.value),
    keyUsage: parseKeyUsage(extensions.get(oids.keyUsage)?.value),
    extendedKeyUsage: parseExtendedKeyUsage(extensions.get(oids.extendedKeyUsage)?.value),
    names: parseAlternativeNames(extensions.get(oids.subjectAltName)?.value),
  };
}

function serialText(element: Tlv | undefined): string {
  const [first, second = 0] = element?.value ?? [];
  // DER: the shortest form, in which the first nine bits are not alike (X.690 §8.3.2).
  const padded =
    element !== undefined &&
    element.value.length > 1 &&
    ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80));
  if (element?.tag !== tag.integer || first === undefined || padded) throw new Malformed("the serial number");
  const hex = [...element.value].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (first >= 0x80) return `-${hex}`;
  return hex.length > 2 && first === 0 ? hex.slice(2) : hex;
}

/** What follows the public key: the unique ids of version 2, long unused, and the extensions, each at most once and in that order. */
function parseExtensions(tail: readonly Tlv[]): Map<string, { critical: boolean; value: Uint8Array }> {
  const found = new Map<string, { critical: boolean; value: Uint8Array }>();
  const rest = [...tail];
  for (const id of [context(1), context(2)]) if (rest[0]?.tag === id) rest.shift();
  const [wrapped, ...more] = rest;
  if (wrapped === undefined) return found;
  if (more.length > 0 || wrapped.tag !== constructed(3)) throw new Malformed("parts after the public key");
  const listed = must(sequence(wrapped.value), "the extensions");
  if (listed.length === 0) throw new Malformed("an empty list of extensions (RFC 5280 §4.1.2.9)");
  for (const element of listed) {
    const [id, ...parts] = must(sequence(element.raw), "an extension");
    const oid = must(id?.tag === tag.oid ? oidText(id.value) : undefined, "an extension's type");
    const flag = parts.length === 2 ? booleanValue(parts[0]) : undefined;
    // DER leaves a default out: `critical FALSE` must not be written (X.690 §11.5).
    if (parts.length === 2 && flag !== true) throw new Malformed(`extension ${oid}: its critical flag`);
    const value = parts[parts.length - 1];
    if (parts.length > 2 || value?.tag !== tag.octetString) throw new Malformed(`extension ${oid}`);
    if (found.has(oid)) throw new Malformed(`extension ${oid} twice (RFC 5280 §4.2)`);
    found.set(oid, { critical: flag === true, value: value.value });
  }
  return found;
}

function parseBasicConstraints(value: Uint8Array | undefined): Certificate["basicConstraints"] {
  if (value === undefined) return null;
  const parts = must(sequence(value), "basicConstraints");
  const ca = parts[0]?.tag === tag.boolean ? must(booleanValue(parts.shift()), "basicConstraints") : false;
  const length = parts.shift();
  if (parts.length > 0) throw new Malformed("basicConstraints");
  return { ca, pathLength: length === undefined ? null : must(smallInteger(length), "the path length") };
}

function parseKeyUsage(value: Uint8Array | undefined): Set<number> | null {
  if (value === undefined) return null;
  const bits = must(only(value, tag.bitString), "keyUsage").value;
  const unused = bits[0] ?? 8;
  const last = bits[bits.length - 1] ?? 0;
  // A named bit list ends with a bit that is set (X.690 §11.2.2), and one at least must be (RFC 5280 §4.2.1.3).
  if (bits.length < 2 || unused > 7 || (last & (2 ** (unused + 1) - 1)) !== 2 ** unused) {
    throw new Malformed("keyUsage");
  }
  const usage = new Set<number>();
  for (const [i, byte] of bits.subarray(1).entries()) {
    for (let bit = 0; bit < 8; bit++) if (byte & (0x80 >> bit)) usage.add(i * 8 + bit);
  }
  return usage;
}

function parseExtendedKeyUsage(value: Uint8Array | undefined): string[] | null {
  if (value === undefined) return null;
  return must(sequence(value), "extendedKeyUsage").map((element) =>
    must(element.tag === tag.oid ? oidText(element.value) : undefined, "extendedKeyUsage"),
  );
}

const noNames: AlternativeNames = { dns: [], email: [], uri: [], ip: [] };
/** Longer ones than any name, address or URI that is in use. */
const maxNameBytes = 4096;

/** An IA5String without control characters: a NUL or a line break in a name is only ever there to deceive. */
function ascii(bytes: Uint8Array): string {
  if (bytes.length > maxNameBytes || bytes.some((byte) => byte < 0x20 || byte > 0x7e)) {
    throw new Malformed("a name in subjectAltName");
  }
  return String.fromCharCode(...bytes);
}

function parseAlternativeNames(value: Uint8Array | undefined): AlternativeNames {
  if (value === undefined) return noNames;
  const found = { dns: [] as string[], email: [] as string[], uri: [] as string[], ip: [] as string[] };
  for (const { tag: type, value: content } of must(
    elements(only(value, tag.sequence)?.value),
    "subjectAltName",
  )) {
    if (type === context(1)) found.email.push(ascii(content));
    else if (type === context(2)) found.dns.push(ascii(content));
    else if (type === context(6)) found.uri.push(ascii(content));
    else if (type === context(7)) {
      if (content.length !== 4 && content.length !== 16) throw new Malformed("an address in subjectAltName");
      found.ip.push(formatIp([...content]));
    }
  }
  return found;
}

/** Its subject as people read it, for messages. */
export const describe = (certificate: Certificate): string =>
  formatName(certificate.subjectName) || `serial ${certificate.serial}`;
