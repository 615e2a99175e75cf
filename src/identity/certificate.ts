import { constructed, only, sequence, smallInteger, tag, timeValue } from "../wire/der.ts";
import { formatIp } from "../wire/ip.ts";
import {
  type AuthorityKeyIdentifier,
  type BasicConstraints,
  type Extension,
  parseAuthorityKeyIdentifier,
  parseBasicConstraints,
  parseExtendedKeyUsage,
  parseExtensions,
  parseKeyUsage,
  parseSubjectKeyIdentifier,
} from "./extensions.ts";
import { type GeneralName, parseSubjectAltName } from "./general-name.ts";
import { type Grants, grantsOid, parseGrants } from "./grants.ts";
import { Malformed, must } from "./malformed.ts";
import { type Attribute, canonicalName, formatName, parseName } from "./name.ts";
import { type NameConstraints, parseNameConstraints } from "./name-constraints.ts";
import { oids } from "./oids.ts";
import { type Policies, parsePolicies } from "./policy-extensions.ts";
import { serialText } from "./serial.ts";

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
  /** The subject's RDNs and the issuer's in the form in which names are compared (RFC 5280 §7.1). */
  readonly canonicalSubject: readonly string[];
  readonly canonicalIssuer: readonly string[];
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** SubjectPublicKeyInfo. */
  readonly spki: Uint8Array;
  readonly extensions: ReadonlyMap<string, Extension>;
  readonly basicConstraints: BasicConstraints | null;
  /** Bit 0 is digitalSignature. */
  readonly keyUsage: ReadonlySet<number> | null;
  readonly extendedKeyUsage: readonly string[] | null;
  /** Every subject alternative name, as constraints are compared with them. */
  readonly alternativeNames: readonly GeneralName[];
  /** Those of them that make an identity, as text. */
  readonly names: AlternativeNames;
  readonly nameConstraints: NameConstraints | null;
  readonly policies: Policies;
  /** What an authority of ours wrote; anybody else's may have written it too. */
  readonly grants: Grants | null;
  readonly authorityKeyId: AuthorityKeyIdentifier | null;
  readonly subjectKeyId: Uint8Array | null;
}

export interface AlternativeNames {
  readonly dns: readonly string[];
  readonly email: readonly string[];
  readonly uri: readonly string[];
  readonly ip: readonly string[];
}

/** Larger than any that is in use. */
const maxBytes = 64 * 1024;

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
  const [tbs, algorithm, signature, ...rest] = must(sequence(der), "no DER sequence (RFC 5280 §4.1)");
  if (rest.length > 0) throw new Malformed("more than three parts (RFC 5280 §4.1)");
  const fields = must(sequence(tbs?.raw), "no signed part (RFC 5280 §4.1.1.1)");
  const hasVersion = fields[0]?.tag === constructed(0);
  const version = hasVersion
    ? must(smallInteger(only(fields[0]?.value, tag.integer)), "the version (RFC 5280 §4.1.2.1)") + 1
    : 1;
  const [serial, inner, issuer, validity, subject, spki, ...tail] = fields.slice(hasVersion ? 1 : 0);
  const [notBefore, notAfter, ...more] = must(sequence(validity?.raw), "the validity (RFC 5280 §4.1.2.5)");
  if (more.length > 0) throw new Malformed("the validity has more than two times (RFC 5280 §4.1.2.5)");
  const bits =
    signature?.tag === tag.bitString && signature.value[0] === 0 ? signature.value.subarray(1) : undefined;
  const extensions = parseExtensions(tail);
  const value = (oid: string): Uint8Array | undefined => extensions.get(oid)?.value;
  const subjectName = must(
    parseName(must(subject, "the subject (RFC 5280 §4.1.2.6)").raw),
    "the subject (RFC 5280 §4.1.2.6)",
  );
  const issuerName = must(
    parseName(must(issuer, "the issuer (RFC 5280 §4.1.2.4)").raw),
    "the issuer (RFC 5280 §4.1.2.4)",
  );
  const alternativeNames = parseSubjectAltName(value(oids.subjectAltName));
  return {
    raw: der,
    tbs: must(tbs?.raw, "no signed part (RFC 5280 §4.1.1.1)"),
    algorithm: must(only(algorithm?.raw, tag.sequence)?.raw, "the signature algorithm (RFC 5280 §4.1.1.2)"),
    innerAlgorithm: must(
      only(inner?.raw, tag.sequence)?.raw,
      "the inner signature algorithm (RFC 5280 §4.1.2.3)",
    ),
    signature: must(bits, "the signature (RFC 5280 §4.1.1.3)"),
    version,
    serial: serialText(serial, "the serial number (RFC 5280 §4.1.2.2)"),
    issuer: must(only(issuer?.raw, tag.sequence)?.raw, "the issuer (RFC 5280 §4.1.2.4)"),
    subject: must(only(subject?.raw, tag.sequence)?.raw, "the subject (RFC 5280 §4.1.2.6)"),
    subjectName,
    canonicalSubject: canonicalName(subjectName),
    canonicalIssuer: canonicalName(issuerName),
    notBefore: must(timeValue(notBefore), "notBefore (RFC 5280 §4.1.2.5)"),
    notAfter: must(timeValue(notAfter), "notAfter (RFC 5280 §4.1.2.5)"),
    spki: must(only(spki?.raw, tag.sequence)?.raw, "the public key (RFC 5280 §4.1.2.7)"),
    extensions,
    basicConstraints: parseBasicConstraints(value(oids.basicConstraints)),
    keyUsage: parseKeyUsage(value(oids.keyUsage)),
    extendedKeyUsage: parseExtendedKeyUsage(value(oids.extendedKeyUsage)),
    alternativeNames,
    names: {
      dns: textsOf(alternativeNames, "dns"),
      email: textsOf(alternativeNames, "email"),
      uri: textsOf(alternativeNames, "uri"),
      ip: alternativeNames.flatMap((name) => (name.type === "ip" ? [formatIp([...name.value])] : [])),
    },
    nameConstraints: parseNameConstraints(value(oids.nameConstraints)),
    policies: parsePolicies(extensions),
    grants: parseGrants(value(grantsOid)),
    authorityKeyId: parseAuthorityKeyIdentifier(value(oids.authorityKeyIdentifier)),
    subjectKeyId: parseSubjectKeyIdentifier(value(oids.subjectKeyIdentifier)),
  };
}

const textsOf = (names: readonly GeneralName[], wanted: "dns" | "email" | "uri"): string[] =>
  names.flatMap((name) => (name.type === wanted ? [name.value] : []));

/** Its subject as people read it, for messages. */
export const describe = (certificate: Certificate): string =>
  formatName(certificate.subjectName) || `serial ${certificate.serial}`;
