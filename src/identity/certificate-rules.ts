import { type Certificate, describe } from "./certificate.ts";
import { oids } from "./oids.ts";
import { isFor } from "./peer-name.ts";
import { problemInProfile } from "./profile.ts";
import type { PathFailure, PathQuestion, Role } from "./question.ts";
import { unusableKey } from "./signature.ts";

const bit = { digitalSignature: 0, keyCertSign: 5 } as const;

/** The critical extensions whose meaning is heeded (RFC 5280 §4.2). */
const processed: ReadonlySet<string> = new Set([
  oids.basicConstraints,
  oids.keyUsage,
  oids.extendedKeyUsage,
  oids.subjectAltName,
  oids.nameConstraints,
  oids.certificatePolicies,
  oids.policyMappings,
  oids.policyConstraints,
  oids.inhibitAnyPolicy,
]);
/** What only an authority may carry: in a holder's certificate it has no meaning, and hints at a mistake. */
const forAuthorities: ReadonlyMap<string, string> = new Map([
  [oids.nameConstraints, "name constraints (RFC 5280 §4.2.1.10)"],
  [oids.policyMappings, "policy mappings (RFC 5280 §4.2.1.5)"],
  [oids.policyConstraints, "policy constraints (RFC 5280 §4.2.1.11)"],
  [oids.inhibitAnyPolicy, "inhibit anyPolicy (RFC 5280 §4.2.1.14)"],
]);
/** The purposes that a certificate must have where it is limited to any, with their names. */
function wantedOf({ purpose, extendedKeyUsage = [] }: PathQuestion): readonly (readonly [string, string])[] {
  if (purpose === "client") return [[oids.clientAuth, "clientAuth"]];
  if (purpose === "server") return [[oids.serverAuth, "serverAuth"]];
  return extendedKeyUsage.map((oid) => [oid, oid]);
}

export const unfit = (certificate: Certificate, what: string): PathFailure => ({
  reason: "client_cert_unfit",
  detail: `${describe(certificate)}: ${what}`,
});

export const untrusted = (certificate: Certificate, what: string): PathFailure => ({
  reason: "client_cert_untrusted",
  detail: `${describe(certificate)}: ${what}`,
});

const day = (time: number): string => new Date(time).toISOString();

/** Validity is told in whole seconds, both ends included (RFC 5280 §4.1.2.5): the last one is valid to its end. */
export const lastValid = ({ notAfter }: Pick<Certificate, "notAfter">): number => notAfter + 999;

/** Rules that hold for every certificate of a path, the anchor included. */
function checkCommon(
  certificate: Certificate,
  role: Role,
  { now, profile = "private" }: PathQuestion,
): PathFailure | undefined {
  const expired = (what: string): PathFailure => ({
    reason: "client_cert_expired",
    detail: `${describe(certificate)}: ${what} (RFC 5280 §6.1.3 (a)(2))`,
  });
  if (now < certificate.notBefore) return expired(`not valid before ${day(certificate.notBefore)}`);
  if (now > lastValid(certificate)) return expired(`expired at ${day(certificate.notAfter)}`);
  for (const [oid, { critical }] of certificate.extensions) {
    if (critical && !processed.has(oid)) {
      return unfit(certificate, `a critical extension that is not processed, ${oid} (RFC 5280 §4.2)`);
    }
    const authoritys = forAuthorities.get(oid);
    if (authoritys !== undefined && certificate.basicConstraints?.ca !== true) {
      return unfit(certificate, `${authoritys} are for authorities alone`);
    }
  }
  if (certificate.canonicalIssuer.length === 0) {
    return unfit(certificate, "an issuer without a name (RFC 5280 §4.1.2.4)");
  }
  if (certificate.version !== 3 && certificate.extensions.size > 0) {
    return unfit(certificate, "extensions outside of version 3 (RFC 5280 §4.1.2.9)");
  }
  const problem = unusableKey(certificate.spki) ?? problemInProfile(certificate, role, profile);
  return problem === undefined ? undefined : unfit(certificate, problem);
}

/** A positive INTEGER of at most 20 octets (RFC 5280 §4.1.2.2). Old anchors have others; they vouch by their key. */
function checkSerial(certificate: Certificate): PathFailure | undefined {
  const { serial } = certificate;
  const proper = !serial.startsWith("-") && /[1-9a-f]/.test(serial) && serial.length <= 40;
  return proper ? undefined : unfit(certificate, "its serial number is out of range (RFC 5280 §4.1.2.2)");
}

/** Limits on what a key may be for, where it has any (RFC 5280 §4.2.1.12). */
function checkPurpose(certificate: Certificate, question: PathQuestion): PathFailure | undefined {
  const purposes = certificate.extendedKeyUsage;
  if (purposes === null || purposes.includes(oids.anyPurpose)) return undefined;
  const lacking = wantedOf(question).find(([oid]) => !purposes.includes(oid));
  return lacking === undefined
    ? undefined
    : unfit(certificate, `its extended key usage lacks ${lacking[1]} (RFC 5280 §4.2.1.12)`);
}

/** Rules for the certificate of who is at the other end of a TLS connection. */
function checkHolder(leaf: Certificate, question: PathQuestion): PathFailure | undefined {
  if (leaf.basicConstraints?.ca === true)
    return unfit(leaf, "an authority's certificate, not a holder's (RFC 5280 §4.2.1.9)");
  if (leaf.keyUsage !== null && !leaf.keyUsage.has(bit.digitalSignature)) {
    return unfit(leaf, "its key usage lacks digitalSignature (RFC 5280 §4.2.1.3)");
  }
  // anyExtendedKeyUsage is not enough: a certificate for everything was not made for this.
  const lacking = wantedOf(question).find(([oid]) => leaf.extendedKeyUsage?.includes(oid) !== true);
  return lacking === undefined
    ? undefined
    : unfit(leaf, `its extended key usage lacks ${lacking[1]} (RFC 5280 §4.2.1.12)`);
}

/** What this leaf is asked to be beside what every holder's certificate is. */
function checkWishes(leaf: Certificate, question: PathQuestion): PathFailure | undefined {
  const { peerNames = [], keyUsage = [], extendedKeyUsage = [] } = question;
  if (!peerNames.every((name) => isFor(leaf, name)))
    return unfit(leaf, "not for the name that is expected (RFC 9525 §6)");
  if (!keyUsage.every((wanted) => leaf.keyUsage?.has(wanted) === true))
    return unfit(leaf, "its key usage lacks what is asked for (RFC 5280 §4.2.1.3)");
  if (!extendedKeyUsage.every((wanted) => leaf.extendedKeyUsage?.includes(wanted) === true))
    return unfit(leaf, "its extended key usage lacks what is asked for (RFC 5280 §4.2.1.12)");
  return undefined;
}

export function checkLeaf(question: PathQuestion): PathFailure | undefined {
  const { leaf, pathOnly } = question;
  const common = checkCommon(leaf, "leaf", question) ?? checkSerial(leaf);
  if (common !== undefined) return common;
  if (leaf.version !== 3) return unfit(leaf, "not an X.509 version 3 certificate (RFC 5280 §4.1.2.1)");
  if (leaf.subjectName.length === 0 && leaf.extensions.get(oids.subjectAltName)?.critical !== true) {
    return unfit(leaf, "an empty subject without a critical subjectAltName (RFC 5280 §4.1.2.6)");
  }
  if (leaf.basicConstraints?.ca !== true && leaf.keyUsage?.has(bit.keyCertSign) === true) {
    return unfit(leaf, "may sign certificates but is no authority (RFC 5280 §4.2.1.9)");
  }
  return (
    checkPurpose(leaf, question) ??
    (pathOnly === true ? undefined : checkHolder(leaf, question)) ??
    checkWishes(leaf, question)
  );
}

/** Rules for whoever issued another certificate, the anchor included, wherever on a path it stands. */
export function checkIssuer(
  issuer: Certificate,
  role: "intermediate" | "anchor",
  question: PathQuestion,
): PathFailure | undefined {
  const common = checkCommon(issuer, role, question) ?? (role === "anchor" ? undefined : checkSerial(issuer));
  if (common !== undefined) return common;
  if (issuer.version !== 3)
    return unfit(issuer, "an issuer that is not an X.509 version 3 certificate (RFC 5280 §6.1.4 (k))");
  if (issuer.basicConstraints?.ca !== true)
    return unfit(issuer, "issued a certificate but is no authority (RFC 5280 §6.1.4 (k))");
  if (issuer.subjectName.length === 0)
    return unfit(issuer, "an authority without a name (RFC 5280 §4.1.2.6)");
  if (issuer.keyUsage !== null && !issuer.keyUsage.has(bit.keyCertSign)) {
    return unfit(issuer, "its key usage lacks keyCertSign (RFC 5280 §6.1.4 (n))");
  }
  // That purposes nest is not in RFC 5280, but what every browser and server does: an authority limited to other
  // purposes can't give this one.
  return checkPurpose(issuer, question);
}

/** @param below how many certificates that are not self-issued stand between an issuer and the leaf */
export function checkLength(issuer: Certificate, below: number): PathFailure | undefined {
  const limit = issuer.basicConstraints?.pathLength ?? null;
  return limit === null || below <= limit
    ? undefined
    : unfit(issuer, `a path longer than its limit of ${limit} (RFC 5280 §6.1.4 (m))`);
}
