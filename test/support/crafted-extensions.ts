import { extension } from "./crafted-certificates.ts";
import { type Bytes, bytes, explicit, integer, oid, seq, tlv } from "./der.ts";

const ascii = (text: string): Bytes => Buffer.from(text, "latin1");

/** GeneralNames (RFC 5280 §4.2.1.6), and the bases of subtrees. */
export const generalName = {
  dns: (value: string): Bytes => tlv(0x82, ascii(value)),
  email: (value: string): Bytes => tlv(0x81, ascii(value)),
  uri: (value: string): Bytes => tlv(0x86, ascii(value)),
  /** An address, or an address and its mask. */
  ip: (...octets: readonly number[]): Bytes => tlv(0x87, octets),
  directory: (name: Bytes): Bytes => explicit(4, name),
  other: (id: string, value: Bytes): Bytes => explicit(0, oid(id), explicit(0, value)),
  registered: (id: string): Bytes => bytes([0x88], oid(id).subarray(1)),
} as const;

export const alternativeNames = (...names: readonly Bytes[]): Bytes => extension("2.5.29.17", seq(...names));

export interface Constraints {
  readonly permitted?: readonly Bytes[];
  readonly excluded?: readonly Bytes[];
}

export const constraints = ({ permitted = [], excluded = [] }: Constraints, critical = true): Bytes => {
  const side = (n: number, bases: readonly Bytes[]): Bytes[] =>
    bases.length === 0 ? [] : [explicit(n, ...bases.map((base) => seq(base)))];
  return extension("2.5.29.30", seq(...side(0, permitted), ...side(1, excluded)), critical);
};

export const policies = (...ids: readonly string[]): Bytes =>
  extension("2.5.29.32", seq(...ids.map((id) => seq(oid(id)))));

export const policyMappings = (...pairs: readonly (readonly [issuer: string, subject: string])[]): Bytes =>
  extension("2.5.29.33", seq(...pairs.map(([issuer, subject]) => seq(oid(issuer), oid(subject)))), true);

const count = (n: number): string => n.toString(16).padStart(2, "0");

export const policyConstraints = (requireExplicit?: number, inhibitMapping?: number): Bytes =>
  extension(
    "2.5.29.36",
    seq(
      ...(requireExplicit === undefined ? [] : [tlv(0x80, Buffer.from(count(requireExplicit), "hex"))]),
      ...(inhibitMapping === undefined ? [] : [tlv(0x81, Buffer.from(count(inhibitMapping), "hex"))]),
    ),
    true,
  );

export const inhibitAnyPolicy = (after: number): Bytes => extension("2.5.29.54", integer(count(after)), true);
