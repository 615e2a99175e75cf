import { elements, oidText, sequence, type Tlv, tag } from "../wire/der.ts";

/** One attribute of a distinguished name. */
export interface Attribute {
  readonly oid: string;
  readonly value: string;
}

const shortNames: Readonly<Record<string, string>> = {
  "2.5.4.3": "CN",
  "2.5.4.6": "C",
  "2.5.4.7": "L",
  "2.5.4.8": "ST",
  "2.5.4.9": "STREET",
  "2.5.4.10": "O",
  "2.5.4.11": "OU",
  "0.9.2342.19200300.100.1.1": "UID",
  "0.9.2342.19200300.100.1.25": "DC",
};

function text(element: Tlv): string | undefined {
  switch (element.tag) {
    case tag.utf8String:
      try {
        return new TextDecoder("utf-8", { fatal: true }).decode(element.value);
      } catch {
        return undefined;
      }
    case tag.printableString:
    case tag.ia5String:
    case tag.teletexString:
      return String.fromCharCode(...element.value.subarray(0, 4096));
    case tag.bmpString: {
      let result = "";
      for (let i = 0; i + 1 < element.value.length; i += 2) {
        result += String.fromCharCode(((element.value[i] ?? 0) << 8) | (element.value[i + 1] ?? 0));
      }
      return result;
    }
    default:
      return undefined;
  }
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
      if (oid === undefined || content === undefined || rest.length > 0) return undefined;
      attributes.push({ oid, value: content });
    }
    name.push(attributes);
  }
  return name;
}

const escapeValue = (value: string): string =>
  value
    .replace(/[\\",+;<>]/g, "\\$&")
    .replace(/^[ #]/, "\\$&")
    .replace(/ $/, "\\ ")
    .replace(/\p{Cc}/gu, (c) => `\\${c.charCodeAt(0).toString(16).padStart(2, "0")}`);

/** RFC 4514: most specific first, `CN=alice,OU=payments,O=Example`. */
export const formatName = (name: readonly (readonly Attribute[])[]): string =>
  [...name]
    .reverse()
    .map((set) => set.map(({ oid, value }) => `${shortNames[oid] ?? oid}=${escapeValue(value)}`).join("+"))
    .join(",");

/** Every value of one attribute type. */
export const valuesOf = (name: readonly (readonly Attribute[])[], shortName: string): string[] =>
  name.flat().flatMap(({ oid, value }) => (shortNames[oid] === shortName ? [value] : []));
