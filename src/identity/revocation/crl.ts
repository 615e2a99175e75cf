import {
  constructed,
  only,
  readTlv,
  sequence,
  smallInteger,
  type Tlv,
  tag,
  timeValue,
} from "../../wire/der.ts";
import { type Extension, parseExtensionList } from "../extensions.ts";
import { Malformed, must } from "../malformed.ts";
import { canonicalName, formatName, parseName } from "../name.ts";
import { oids } from "../oids.ts";
import { serialText } from "../serial.ts";
import type { Signed } from "../signature.ts";
import { parseScope, type Scope } from "./scope.ts";

/** A list of revoked certificates taken apart (RFC 5280 §5.1). Nothing about it is verified. */
export interface Crl extends Signed {
  readonly raw: Uint8Array;
  /** In the form in which names are compared, and as people read it. */
  readonly canonicalIssuer: readonly string[];
  readonly issuer: string;
  /** Milliseconds since 1970. A list without an end is none (§5.1.2.5). */
  readonly thisUpdate: number;
  readonly nextUpdate: number;
  /** Lower-case hexadecimal, and `null` where there is none (§5.2.3). */
  readonly number: string | null;
  readonly scope: Scope;
  /** Serial numbers, as a certificate's is written. */
  readonly revoked: ReadonlySet<string>;
}

/** Numbers of one issuer's lists only grow (RFC 5280 §5.2.3). */
export const isNumberedBelow = (a: Crl, b: Crl): boolean =>
  a.number !== null && b.number !== null && numbered(a.number) < numbered(b.number);

const numbered = (number: string): bigint => BigInt(`0x${number.replace("-", "")}`);

/** Larger lists are cut up by their authorities. */
const maxBytes = 32 * 1024 * 1024;
const maxEntries = 500_000;

/** Takes a list apart. Answers with words where it is none that can be used. */
export function parseCrl(der: Uint8Array): Crl | { readonly malformed: string } {
  try {
    return parse(der);
  } catch (error) {
    if (error instanceof Malformed) return { malformed: error.message };
    throw error;
  }
}

function parse(der: Uint8Array): Crl {
  if (der.length > maxBytes) throw new Malformed(`longer than ${maxBytes} bytes`);
  const [tbs, algorithm, signature, ...rest] = must(sequence(der), "no DER sequence");
  if (rest.length > 0) throw new Malformed("more than three parts");
  const fields = must(sequence(tbs?.raw), "no signed part");
  // The version is there for version 2 alone.
  const hasVersion = fields[0]?.tag === tag.integer;
  if (hasVersion && smallInteger(fields.shift()) !== 1) throw new Malformed("the version");
  const [inner, issuer, thisUpdate, ...tail] = fields;
  const nextUpdate = timeValue(tail.shift());
  if (nextUpdate === undefined) throw new Malformed("it does not say when it ends (RFC 5280 §5.1.2.5)");
  const entries = tail[0]?.tag === tag.sequence ? tail.shift() : undefined;
  const wrapped = tail.shift();
  if (tail.length > 0 || (wrapped !== undefined && wrapped.tag !== constructed(0)))
    throw new Malformed("parts after the entries");
  if (wrapped !== undefined && !hasVersion)
    throw new Malformed("extensions outside of version 2 (RFC 5280 §5.1.2.1)");
  const extensions = wrapped === undefined ? new Map() : parseExtensionList(wrapped.value);
  const name = must(parseName(must(issuer, "the issuer").raw), "the issuer");
  const bits =
    signature?.tag === tag.bitString && signature.value[0] === 0 ? signature.value.subarray(1) : undefined;
  return {
    raw: der,
    tbs: must(tbs?.raw, "no signed part"),
    algorithm: must(only(algorithm?.raw, tag.sequence)?.raw, "the signature algorithm"),
    innerAlgorithm: must(only(inner?.raw, tag.sequence)?.raw, "the inner signature algorithm"),
    signature: must(bits, "the signature"),
    canonicalIssuer: canonicalName(name),
    issuer: formatName(name),
    thisUpdate: must(timeValue(thisUpdate), "thisUpdate (RFC 5280 §5.1.2.4)"),
    nextUpdate,
    ...parseListExtensions(extensions),
    revoked: parseEntries(entries),
  };
}

function parseListExtensions(extensions: ReadonlyMap<string, Extension>): Pick<Crl, "number" | "scope"> {
  if (extensions.has(oids.deltaCrl)) throw new Malformed("a delta of another list (RFC 5280 §5.2.4)");
  for (const [oid, { critical }] of extensions) {
    if (critical && oid !== oids.issuingDistributionPoint)
      throw new Malformed(`a critical extension that is not processed, ${oid} (RFC 5280 §5.2)`);
  }
  const number = extensions.get(oids.crlNumber);
  return {
    number:
      number === undefined
        ? null
        : serialText(only(number.value, tag.integer), "the number (RFC 5280 §5.2.3)"),
    scope: parseScope(extensions.get(oids.issuingDistributionPoint)?.value),
  };
}

/** Entries may go on being listed and no more: what says otherwise is a list that is not understood. */
const removeFromCrl = 8;

function parseEntries(entries: Tlv | undefined): ReadonlySet<string> {
  const revoked = new Set<string>();
  if (entries === undefined) return revoked;
  const { value } = entries;
  // One by one: an array of half a million elements would cost more than all they say.
  for (let at = 0; at < value.length; ) {
    const entry = must(readTlv(value, at), "the entries");
    at += entry.raw.length;
    if (entry.tag !== tag.sequence || revoked.size === maxEntries) throw new Malformed("the entries");
    revoked.add(parseEntry(entry.value));
  }
  return revoked;
}

function parseEntry(value: Uint8Array): string {
  const serial = must(readTlv(value), "an entry");
  const date = must(readTlv(value, serial.raw.length), "an entry");
  if (timeValue(date) === undefined) throw new Malformed("an entry");
  const rest = value.subarray(serial.raw.length + date.raw.length);
  if (rest.length > 0) checkEntryExtensions(parseExtensionList(rest));
  return serialText(serial, "an entry's serial number");
}

function checkEntryExtensions(extensions: ReadonlyMap<string, Extension>): void {
  for (const [oid, { critical, value }] of extensions) {
    if (oid === oids.certificateIssuer)
      throw new Malformed("entries of another issuer: indirect lists are not taken (RFC 5280 §5.3.3)");
    if (oid === oids.crlReason) {
      const reason = only(value, tag.enumerated)?.value;
      if (reason?.length !== 1) throw new Malformed("the reason of an entry (RFC 5280 §5.3.1)");
      if (reason[0] === removeFromCrl)
        throw new Malformed("an entry that is to be removed, in a full list (RFC 5280 §5.3.1)");
    } else if (critical)
      throw new Malformed(`an entry with a critical extension that is not processed, ${oid} (RFC 5280 §5.3)`);
  }
}
