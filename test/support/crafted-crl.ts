import {
  algorithms,
  dayMs,
  defaultSignature,
  extension,
  type Holder,
  hourMs,
  type SignatureKind,
  signed,
} from "./crafted-certificates.ts";
import { type Bytes, bits, bytes, explicit, integer, octets, seq, time, tlv } from "./der.ts";

/** Everything about a revocation list that a test may want otherwise. */
export interface CrlPlan {
  /** Octets of serial numbers in hexadecimal, or whole entries. */
  readonly revoked?: readonly (string | Bytes)[];
  /** All entries, as they are to stand there. */
  readonly entries?: Bytes;
  readonly thisUpdate?: number;
  /** `null` leaves it out. */
  readonly nextUpdate?: number | null;
  readonly number?: number;
  readonly criticalNumber?: boolean;
  readonly more?: readonly Bytes[];
  readonly issuer?: Bytes;
  readonly signature?: SignatureKind;
  readonly outer?: SignatureKind;
  readonly tampered?: boolean;
  /** 1 has neither a version field nor extensions. */
  readonly version?: 1 | 2;
  /** Without the version, whatever stands in it. */
  readonly unversioned?: boolean;
}

export const entry = (serial: string, ...extensions: readonly Bytes[]): Bytes =>
  seq(integer(serial), time(Date.now() - hourMs), ...(extensions.length > 0 ? [seq(...extensions)] : []));

const crlNumber = (number: number, critical: boolean): Bytes =>
  extension("2.5.29.20", integer(number.toString(16).padStart(2, "0")), critical);

/** A list with a scope: the parts of an IssuingDistributionPoint, as they are to be written. */
export const scope = (...parts: readonly Bytes[]): Bytes => extension("2.5.29.28", seq(...parts), true);
export const flag = (n: number): Bytes => tlv(0x80 | n, [0xff]);
export const pointNamed = (uri: string): Bytes =>
  explicit(0, explicit(0, tlv(0x86, Buffer.from(uri, "latin1"))));
/** A certificate's distribution point. */
export const crlPoint = (uri: string): Bytes => extension("2.5.29.31", seq(seq(pointNamed(uri))));

/** A list that its issuer signed, in DER. */
export function crl(issuer: Holder, plan: CrlPlan = {}): Bytes {
  const now = Date.now();
  const signature = plan.signature ?? defaultSignature(issuer.keys.kind);
  const entries = (plan.revoked ?? []).map((one) => (typeof one === "string" ? entry(one) : one));
  const nextUpdate = plan.nextUpdate === undefined ? now + dayMs : plan.nextUpdate;
  const extensions = [crlNumber(plan.number ?? 1, plan.criticalNumber ?? false), ...(plan.more ?? [])];
  const tbs = seq(
    ...(plan.version === 1 || plan.unversioned === true ? [] : [integer("01")]),
    algorithms[signature],
    plan.issuer ?? issuer.name,
    time(plan.thisUpdate ?? now - hourMs),
    ...(nextUpdate === null ? [] : [time(nextUpdate)]),
    ...(plan.entries !== undefined ? [tlv(0x30, plan.entries)] : entries.length > 0 ? [seq(...entries)] : []),
    ...(plan.version === 1 ? [] : [explicit(0, seq(...extensions))]),
  );
  const value = signed(tbs, issuer.keys, signature);
  if (plan.tampered === true) value[value.length - 1] = (value[value.length - 1] ?? 0) ^ 1;
  return seq(tbs, algorithms[plan.outer ?? signature], bits(value));
}

export const crlPem = (...lists: readonly Bytes[]): string =>
  lists
    .map(
      (der) => `-----BEGIN X509 CRL-----\n${Buffer.from(der).toString("base64")}\n-----END X509 CRL-----\n`,
    )
    .join("");

/** The reason of an entry. */
export const reasonCode = (reason: number): Bytes => extension("2.5.29.21", bytes([0x0a, 1, reason]));
/** Says that the entries from here on are another issuer's. */
export const otherIssuer = (name: Bytes): Bytes => extension("2.5.29.29", seq(explicit(4, name)), true);
export const unknownExtension = (critical: boolean): Bytes =>
  extension("1.3.6.1.4.1.99999.9", octets(Uint8Array.of(1)), critical);
