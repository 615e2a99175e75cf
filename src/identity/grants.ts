import { constructed, elements, sequence, type Tlv, tag } from "../wire/der.ts";
import { derElement, derText } from "../wire/der-write.ts";
import type { Cidr } from "../wire/ip.ts";
import { Malformed, must } from "./malformed.ts";

/**
 * What an authority of ours writes into a certificate beside what there are standard extensions for:
 *
 *     Grants ::= SEQUENCE {
 *       groups   [0] IMPLICIT SEQUENCE OF UTF8String   OPTIONAL,
 *       sources  [1] IMPLICIT SEQUENCE OF OCTET STRING OPTIONAL,  -- address and mask (RFC 5280 §4.2.1.10)
 *       routes   [2] IMPLICIT SEQUENCE OF UTF8String   OPTIONAL }
 *
 * The extension is not critical: other programs, which know nothing of routes, may take the certificate. Who
 * enforces it is the router, which reads it always.
 */
export interface Grants {
  readonly groups: readonly string[];
  /** Where the certificate may be used from, and for which routes; `null`: anywhere, any. */
  readonly sources: readonly Cidr[] | null;
  readonly routes: readonly string[] | null;
}

/** A number at random under the arc of UUIDs (ITU-T X.667), where nobody has to be asked; small enough for every library. */
export const grantsOid = "2.25.1219983134";

const maxEntries = 1000;
const maxTextBytes = 1024;
const where = `the extension ${grantsOid}`;

function octetsOf({ ip, bits }: Cidr): Uint8Array {
  const mask = ip.map((_, i) => 256 - 2 ** (8 - Math.min(8, Math.max(0, bits - 8 * i))));
  return derElement(tag.octetString, Uint8Array.from([...ip, ...mask]));
}

export function encodeGrants({ groups, sources, routes }: Grants): Uint8Array {
  const list = (n: number, entries: readonly Uint8Array[]): Uint8Array[] => [
    derElement(constructed(n), ...entries),
  ];
  return derElement(
    tag.sequence,
    ...(groups.length === 0 ? [] : list(0, groups.map(derText))),
    ...(sources === null ? [] : list(1, sources.map(octetsOf))),
    ...(routes === null ? [] : list(2, routes.map(derText))),
  );
}

function text(element: Tlv): string {
  if (element.tag !== tag.utf8String || element.value.length === 0 || element.value.length > maxTextBytes)
    throw new Malformed(where);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(element.value);
  } catch {
    throw new Malformed(where);
  }
}

function network({ tag: type, value }: Tlv): Cidr {
  if (type !== tag.octetString || (value.length !== 8 && value.length !== 32)) throw new Malformed(where);
  const size = value.length / 2;
  const ip = [...value.subarray(0, size)];
  const mask = [...value.subarray(size)].map((octet) => octet.toString(2).padStart(8, "0")).join("");
  const bits = mask.replace(/0+$/, "").length;
  const holes = mask.slice(0, bits).includes("0");
  const hostBits = ip.some((octet, i) => (octet & ~Number.parseInt(mask.slice(8 * i, 8 * i + 8), 2)) !== 0);
  if (holes || hostBits) throw new Malformed(where);
  return { ip, bits };
}

/** Throws `Malformed`. A list that is there and empty lets nothing through. */
export function parseGrants(value: Uint8Array | undefined): Grants | null {
  if (value === undefined) return null;
  const parts = must(sequence(value), where);
  const next = (n: number): Tlv[] | null => {
    if (parts[0]?.tag !== constructed(n)) return null;
    const listed = must(elements(parts.shift()?.value), where);
    if (listed.length > maxEntries) throw new Malformed(where);
    return listed;
  };
  const [groups, sources, routes] = [next(0), next(1), next(2)];
  if (parts.length > 0) throw new Malformed(where);
  return {
    groups: (groups ?? []).map(text),
    sources: sources?.map(network) ?? null,
    routes: routes?.map(text) ?? null,
  };
}
