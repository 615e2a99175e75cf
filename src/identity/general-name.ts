import { constructed, context, objectIdentifier, readTlv, sequence, type Tlv } from "../wire/der.ts";
import { Malformed, must } from "./malformed.ts";
import { canonicalName, parseName } from "./name.ts";

/** A GeneralName (RFC 5280 §4.2.1.6), or the base of a subtree (§4.2.1.10), in which an address has a mask. */
export type GeneralName =
  | { readonly type: "dns" | "email" | "uri"; readonly value: string }
  | { readonly type: "ip"; readonly value: Uint8Array }
  /** Its RDNs in canonical form. */
  | { readonly type: "directory"; readonly value: readonly string[] }
  /** Of a form that is not compared; the value is its type-id where it is an otherName. */
  | { readonly type: "otherName" | "x400Address" | "ediPartyName" | "registeredID"; readonly value: string };

/** Longer ones than any name, address or URI that is in use. */
const maxNameBytes = 4096;

/** An IA5String without control characters: a NUL or a line break in a name is only ever there to deceive. */
function ascii(bytes: Uint8Array, where: string): string {
  if (bytes.length > maxNameBytes || bytes.some((byte) => byte < 0x20 || byte > 0x7e)) {
    throw new Malformed(`a name in ${where}`);
  }
  return String.fromCharCode(...bytes);
}

/** @param addressBytes the lengths an address may have: 4 and 16, or twice that with its mask */
export function parseGeneralName(
  { tag: type, value, raw }: Tlv,
  where: string,
  addressBytes: readonly number[],
): GeneralName {
  switch (type) {
    case constructed(0): {
      const id = objectIdentifier(readTlv(value));
      return { type: "otherName", value: must(id, `an otherName in ${where}`) };
    }
    case context(1):
      return { type: "email", value: ascii(value, where) };
    case context(2):
      return { type: "dns", value: ascii(value, where) };
    case constructed(3):
      return { type: "x400Address", value: "" };
    case constructed(4): {
      const inner = readTlv(value);
      const name = inner?.raw.length === value.length ? parseName(inner.raw) : undefined;
      return { type: "directory", value: canonicalName(must(name, `a directoryName in ${where}`)) };
    }
    case constructed(5):
      return { type: "ediPartyName", value: "" };
    case context(6):
      return { type: "uri", value: ascii(value, where) };
    case context(7):
      if (!addressBytes.includes(value.length)) throw new Malformed(`an address in ${where}`);
      return { type: "ip", value };
    case context(8):
      return { type: "registeredID", value: "" };
    default:
      throw new Malformed(`a name in ${where} (${raw[0]})`);
  }
}

const altNames = "subjectAltName (RFC 5280 §4.2.1.6)";

/** The names in a subjectAltName, of which there is one at least. */
export function parseSubjectAltName(value: Uint8Array | undefined): readonly GeneralName[] {
  if (value === undefined) return [];
  const listed = must(sequence(value), altNames);
  if (listed.length === 0) throw new Malformed("an empty subjectAltName (RFC 5280 §4.2.1.6)");
  return listed.map((element) => parseGeneralName(element, altNames, [4, 16]));
}
