import { objectIdentifier, sequence } from "../wire/der.ts";
import type { Certificate } from "./certificate.ts";
import { isHost } from "./host.ts";
import { oids } from "./oids.ts";
import type { Role } from "./question.ts";
import { sameBytes } from "./same-bytes.ts";
import { isSelfIssued } from "./self-issued.ts";
import { rsaModulusBits } from "./signature.ts";

/**
 * What is demanded of certificates beside what every validation checks.
 *
 * - `private`: nothing. Authorities of one's own leave out what RFC 5280 would have them write, to nobody's harm.
 * - `rfc5280`: what RFC 5280 §4 has authorities write, too.
 * - `webpki`: what the CA/Browser Forum's baseline requirements have public authorities write, too.
 */
export const profiles = ["private", "rfc5280", "webpki"] as const;
export type Profile = (typeof profiles)[number];

/** What must be critical where it stands at all (RFC 5280 §4.2.1.9, .10, .11, .14). */
const critical: ReadonlyMap<string, string> = new Map([
  [oids.policyConstraints, "policy constraints that are not critical (RFC 5280 §4.2.1.11)"],
  [oids.inhibitAnyPolicy, "inhibit anyPolicy that is not critical (RFC 5280 §4.2.1.14)"],
]);

/** Letters, digits and hyphens (RFC 5280 §4.2.1.6), a whole label for a wildcard before them. */
const isPreferredName = (name: string): boolean => {
  const bare = name.toLowerCase().replace(/^\*\./, "");
  return isHost(bare) && !bare.includes("_");
};

/** AuthorityInfoAccessSyntax (RFC 5280 §4.2.2.1): at least one method with the name of where it leads. */
function isInfoAccess(value: Uint8Array): boolean {
  const listed = sequence(value) ?? [];
  return (
    listed.length > 0 &&
    listed.every((element) => {
      const parts = sequence(element.raw);
      return parts?.length === 2 && objectIdentifier(parts[0]) !== undefined;
    })
  );
}

function problemOfIssuance(certificate: Certificate, role: Role): string | undefined {
  const { extensions, authorityKeyId, subjectKeyId, basicConstraints, alternativeNames } = certificate;
  if ((authorityKeyId?.keyId ?? null) === null && !isSelfIssued(certificate)) {
    return "no authority key identifier (RFC 5280 §4.2.1.1)";
  }
  if (basicConstraints?.ca === true) {
    if (subjectKeyId === null) return "an authority without a subject key identifier (RFC 5280 §4.2.1.2)";
    if (extensions.get(oids.basicConstraints)?.critical !== true)
      return "basic constraints that are not critical (RFC 5280 §4.2.1.9)";
    if (role !== "leaf" && certificate.keyUsage === null)
      return "an authority without a key usage (RFC 5280 §4.2.1.3)";
  }
  for (const [oid, words] of critical) if (extensions.get(oid)?.critical === false) return words;
  const access = extensions.get(oids.authorityInfoAccess);
  if (access !== undefined && !isInfoAccess(access.value))
    return "a malformed authorityInfoAccess (RFC 5280 §4.2.2.1)";
  const odd = alternativeNames.find((name) => name.type === "dns" && !isPreferredName(name.value));
  if (odd !== undefined) return "a DNS name that is no host's (RFC 5280 §4.2.1.6)";
  if (
    certificate.nameConstraints?.permitted.dns
      .concat(certificate.nameConstraints.excluded.dns)
      .some((name) => name.startsWith(".")) === true
  )
    return "a constraint on DNS names with a dot before it (RFC 5280 §4.2.1.10)";
  return undefined;
}

function problemForTheWeb(certificate: Certificate, role: Role): string | undefined {
  const { extendedKeyUsage, authorityKeyId, subjectKeyId, names } = certificate;
  const bits = rsaModulusBits(certificate.spki);
  if (bits !== null && bits % 8 !== 0)
    return `an RSA key of ${bits} bits, which 8 does not divide (CA/B BR §6.1.6)`;
  if (
    authorityKeyId !== null &&
    (authorityKeyId.keyId === null || authorityKeyId.issuer !== null || authorityKeyId.serial !== null)
  )
    return "an authority key identifier that is more than a key's (CA/B BR §7.1.2.11.1)";
  if (role === "anchor") {
    if (extendedKeyUsage !== null) return "a root with an extended key usage (CA/B BR §7.1.2.1.2)";
    const own = authorityKeyId?.keyId;
    if (own && subjectKeyId !== null && !sameBytes(own, subjectKeyId))
      return "a root whose key identifiers differ (CA/B BR §7.1.2.1.3)";
  }
  if (role !== "leaf") return undefined;
  if (certificate.extensions.get(oids.extendedKeyUsage)?.critical === true)
    return "an extended key usage that is critical (CA/B BR §7.1.2.7.6)";
  if (extendedKeyUsage?.includes(oids.anyPurpose) === true)
    return "an extended key usage of any purpose (CA/B BR §7.1.2.7.10)";
  if (
    certificate.subjectName.length > 0 &&
    certificate.extensions.get(oids.subjectAltName)?.critical === true
  )
    return "a subject alternative name that is critical beside a subject (CA/B BR §7.1.2.7.12)";
  if (certificate.alternativeNames.length === 0) return "no subject alternative name (CA/B BR §7.1.2.7.12)";
  const listed = [...names.dns, ...names.ip];
  const loose = commonNames(certificate).find((name) => !listed.includes(name));
  return loose === undefined
    ? undefined
    : `a common name that is none of its alternative names, ${JSON.stringify(loose)} (CA/B BR §7.1.4.3)`;
}

const commonNames = ({ subjectName }: Certificate): string[] =>
  subjectName.flat().flatMap(({ oid, value }) => (oid === oids.commonName ? [value ?? ""] : []));

/** What a certificate breaks of a profile, in words. */
export function problemInProfile(certificate: Certificate, role: Role, profile: Profile): string | undefined {
  if (profile === "private") return undefined;
  const nonCritical = certificate.extensions.get(oids.nameConstraints)?.critical === false;
  // Public authorities may leave it uncritical, for the sake of clients that don't know it.
  if (nonCritical && profile === "rfc5280")
    return "name constraints that are not critical (RFC 5280 §4.2.1.10)";
  const problem = problemOfIssuance(certificate, role);
  if (problem !== undefined || profile === "rfc5280") return problem;
  return problemForTheWeb(certificate, role);
}
