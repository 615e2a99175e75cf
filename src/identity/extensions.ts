import {
  booleanValue,
  constructed,
  context,
  objectIdentifier,
  only,
  sequence,
  smallInteger,
  type Tlv,
  tag,
} from "../wire/der.ts";
import { Malformed, must } from "./malformed.ts";

export interface Extension {
  readonly critical: boolean;
  readonly value: Uint8Array;
}

export interface BasicConstraints {
  readonly ca: boolean;
  readonly pathLength: number | null;
}

/** What follows the public key: the unique ids of version 2, long unused, and the extensions, each at most once and in that order. */
export function parseExtensions(tail: readonly Tlv[]): Map<string, Extension> {
  const rest = [...tail];
  for (const id of [context(1), context(2)]) if (rest[0]?.tag === id) rest.shift();
  const [wrapped, ...more] = rest;
  if (wrapped === undefined) return new Map();
  if (more.length > 0 || wrapped.tag !== constructed(3))
    throw new Malformed("parts after the public key (RFC 5280 §4.1)");
  return parseExtensionList(wrapped.value);
}

/** A SEQUENCE of extensions, as certificates, revocation lists and their entries have it. */
export function parseExtensionList(list: Uint8Array): Map<string, Extension> {
  const found = new Map<string, Extension>();
  const listed = must(sequence(list), "the extensions (RFC 5280 §4.1.2.9)");
  if (listed.length === 0) throw new Malformed("an empty list of extensions (RFC 5280 §4.1.2.9)");
  for (const element of listed) {
    const [id, ...parts] = must(sequence(element.raw), "an extension (RFC 5280 §4.2)");
    const oid = must(objectIdentifier(id), "an extension's type (RFC 5280 §4.2)");
    const flag = parts.length === 2 ? booleanValue(parts[0]) : undefined;
    // DER leaves a default out: `critical FALSE` must not be written (X.690 §11.5).
    if (parts.length === 2 && flag !== true)
      throw new Malformed(`extension ${oid}: its critical flag (X.690 §11.5)`);
    const value = parts[parts.length - 1];
    if (parts.length > 2 || value?.tag !== tag.octetString)
      throw new Malformed(`extension ${oid} (RFC 5280 §4.2)`);
    if (found.has(oid)) throw new Malformed(`extension ${oid} twice (RFC 5280 §4.2)`);
    found.set(oid, { critical: flag === true, value: value.value });
  }
  return found;
}

export function parseBasicConstraints(value: Uint8Array | undefined): BasicConstraints | null {
  if (value === undefined) return null;
  const parts = must(sequence(value), "basicConstraints (RFC 5280 §4.2.1.9)");
  const flag = parts[0]?.tag === tag.boolean ? parts.shift() : undefined;
  // As with `critical`: the default, FALSE, must not be written (X.690 §11.5).
  if (flag !== undefined && booleanValue(flag) !== true)
    throw new Malformed("basicConstraints (RFC 5280 §4.2.1.9)");
  const length = parts.shift();
  if (parts.length > 0) throw new Malformed("basicConstraints (RFC 5280 §4.2.1.9)");
  return {
    ca: flag !== undefined,
    pathLength:
      length === undefined ? null : must(smallInteger(length), "the path length (RFC 5280 §4.2.1.9)"),
  };
}

export function parseKeyUsage(value: Uint8Array | undefined): Set<number> | null {
  if (value === undefined) return null;
  const bits = must(only(value, tag.bitString), "keyUsage (RFC 5280 §4.2.1.3)").value;
  const unused = bits[0] ?? 8;
  const last = bits[bits.length - 1] ?? 0;
  // A named bit list ends with a bit that is set (X.690 §11.2.2), and one at least must be (RFC 5280 §4.2.1.3).
  if (bits.length < 2 || unused > 7 || (last & (2 ** (unused + 1) - 1)) !== 2 ** unused) {
    throw new Malformed("keyUsage (RFC 5280 §4.2.1.3)");
  }
  const usage = new Set<number>();
  for (const [i, byte] of bits.subarray(1).entries()) {
    for (let bit = 0; bit < 8; bit++) if (byte & (0x80 >> bit)) usage.add(i * 8 + bit);
  }
  return usage;
}

export function parseExtendedKeyUsage(value: Uint8Array | undefined): string[] | null {
  if (value === undefined) return null;
  const purposes = must(sequence(value), "extendedKeyUsage (RFC 5280 §4.2.1.12)").map((element) =>
    must(objectIdentifier(element), "extendedKeyUsage (RFC 5280 §4.2.1.12)"),
  );
  if (purposes.length === 0) throw new Malformed("an empty extendedKeyUsage (RFC 5280 §4.2.1.12)");
  return purposes;
}

/** RFC 5280 §4.2.1.1. What is absent is `null`. */
export interface AuthorityKeyIdentifier {
  readonly keyId: Uint8Array | null;
  readonly issuer: Uint8Array | null;
  readonly serial: Uint8Array | null;
}

export function parseAuthorityKeyIdentifier(value: Uint8Array | undefined): AuthorityKeyIdentifier | null {
  if (value === undefined) return null;
  const parts = must(sequence(value), "authorityKeyIdentifier (RFC 5280 §4.2.1.1)");
  const next = (wanted: number): Uint8Array | null =>
    parts[0]?.tag === wanted ? (parts.shift()?.value ?? null) : null;
  const found = { keyId: next(context(0)), issuer: next(constructed(1)), serial: next(context(2)) };
  if (parts.length > 0) throw new Malformed("authorityKeyIdentifier (RFC 5280 §4.2.1.1)");
  return found;
}

export const parseSubjectKeyIdentifier = (value: Uint8Array | undefined): Uint8Array | null =>
  value === undefined
    ? null
    : must(only(value, tag.octetString), "subjectKeyIdentifier (RFC 5280 §4.2.1.2)").value;
