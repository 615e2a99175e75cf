import { elements, oidText, sequence, type Tlv, tag } from "../wire/der.ts";

/** One attribute of a distinguished name. */
export interface Attribute {
  readonly oid: string;
  /** `null` where it is not text. */
  readonly value: string | null;
  readonly der: Uint8Array;
}

const shortNames: Readonly<Record<string, string>> = {
  "2.5.4.3": "CN",
  "2.5.4.6": "C",
  "2.5.4.7": "L",
  "2.5.4.8": "ST",
  "2.5.4.9": "STREET",
  "2.5.4.10": "O",
  "2.5.4.11": "OU",
  "1.2.840.113549.1.9.1": "emailAddress",
  "0.9.2342.19200300.100.1.1": "UID",
  "0.9.2342.19200300.100.1.25": "DC",
};

/** Longer than any name that is in use. */
const maxTextBytes = 4096;

/** Text as it was meant; `null` for what is not a string, `undefined` for one that is malformed. */
function text(element: Tlv): string | null | undefined {
  if (element.value.length > maxTextBytes) return undefined;
  switch (element.tag) {
    case tag.utf8String:
      try {
        return new TextDecoder("utf-8", { fatal: true }).decode(element.value);
      } catch {
        return undefined;
      }
    case tag.numericString:
    case tag.printableString:
    case tag.ia5String:
    case tag.teletexString:
      return String.fromCharCode(...element.value);
    case tag.bmpString: {
      if (element.value.length % 2 !== 0) return undefined;
      let result = "";
      for (let i = 0; i < element.value.length; i += 2) {
        result += String.fromCharCode(((element.value[i] ?? 0) << 8) | (element.value[i + 1] ?? 0));
      }
      return result;
    }
    case tag.universalString:
      return utf32(element.value);
    default:
      return null;
  }
}

function utf32(bytes: Uint8Array): string | undefined {
  if (bytes.length % 4 !== 0) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let result = "";
  for (let i = 0; i < bytes.length; i += 4) {
    const point = view.getUint32(i);
    if (point > 0x10ffff) return undefined;
    result += String.fromCodePoint(point);
  }
  return result;
}

/** The attributes of a distinguished name in its own order, or `undefined` where it is malformed. */
export function parseName(raw: Uint8Array): Attribute[][] | undefined {
  const sets = sequence(raw);
  if (sets === undefined) return undefined;
  const name: Attribute[][] = [];
  for (const set of sets) {
    const members = set.tag === tag.set ? elements(set.value) : undefined;
    if (members === undefined || members.length === 0) return undefined;
    const attributes: Attribute[] = [];
    for (const member of members) {
      const [type, value, ...rest] = sequence(member.raw) ?? [];
      const oid = type?.tag === tag.oid ? oidText(type.value) : undefined;
      const content = value === undefined ? undefined : text(value);
      if (oid === undefined || value === undefined || content === undefined || rest.length > 0)
        return undefined;
      attributes.push({ oid, value: content, der: value.raw });
    }
    name.push(attributes);
  }
  return name;
}

const hex = (bytes: Uint8Array): string =>
  [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** RFC 4514 §2.4; and what does not show, or turns what follows around, as the octets of its UTF-8. */
const escapeValue = (value: string): string =>
  value
    .replace(/[\\",+;<>]|^[ #]|(?<!^) $/g, "\\$&")
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (c) => hex(new TextEncoder().encode(c)).replace(/../g, "\\$&"));

/** A type without a name of its own has its value in hexadecimal (RFC 4514 §2.4). */
function formatAttribute({ oid, value, der }: Attribute): string {
  const short = shortNames[oid];
  return short === undefined || value === null
    ? `${short ?? oid}=#${hex(der)}`
    : `${short}=${escapeValue(value)}`;
}

/** RFC 4514: most specific first, `CN=alice,OU=payments,O=Example`. */
export const formatName = (name: readonly (readonly Attribute[])[]): string =>
  [...name]
    .reverse()
    .map((set) => set.map(formatAttribute).join("+"))
    .join(",");

/** Every textual value of one attribute type, in the name's own order. */
export const valuesOf = (name: readonly (readonly Attribute[])[], shortName: string): string[] =>
  name.flat().flatMap(({ oid, value }) => (shortNames[oid] === shortName && value !== null ? [value] : []));

/** Case and what does not show count for nothing, nor how much of a space there is (RFC 5280 §7.1, RFC 4518 §2). */
const prepared = (text: string): string =>
  text
    .replace(/[\t\n\v\f\r\u0085\p{Z}]+/gu, " ")
    .replace(/[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]/gu, "")
    .normalize("NFKC")
    .toUpperCase()
    .toLowerCase()
    .normalize("NFKC")
    .replace(/ +/g, " ")
    .trim();

/**
 * A name in the form in which it is compared (RFC 5280 §7.1): a string for each RDN, alike where the RDNs are.
 * What type of string an attribute was written with does not matter; what is no text is compared as it stands.
 */
export const canonicalName = (name: readonly (readonly Attribute[])[]): string[] =>
  name.map((set) =>
    JSON.stringify(
      set
        .map(({ oid, value, der }) => (value === null ? `${oid}#${hex(der)}` : `${oid}=${prepared(value)}`))
        .sort(),
    ),
  );
