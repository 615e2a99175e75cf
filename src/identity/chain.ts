import type { Reason } from "../errors.ts";
import { type Certificate, describe, oids } from "./certificate.ts";
import { sameBytes } from "./same-bytes.ts";
import { checkSignature, unusableKey } from "./signature.ts";

/** What the leaf is to be used for (RFC 5280 §4.2.1.12). */
export type Purpose = "client" | "server";

export type FailureReason = Extract<
  Reason,
  "client_cert_untrusted" | "client_cert_expired" | "client_cert_unfit"
>;

/** Why there is no valid path: which certificate breaks which rule. */
export interface PathFailure {
  readonly reason: FailureReason;
  /** For people: names the certificate, the rule and, where there is one, the section. */
  readonly detail: string;
}

export type PathResult =
  | {
      readonly ok: true;
      /** Leaf first, the anchor last. */
      readonly path: readonly Certificate[];
      /** The span in which every certificate of the path is valid, milliseconds since 1970. */
      readonly notBefore: number;
      readonly notAfter: number;
    }
  | { readonly ok: false; readonly failure: PathFailure };

export interface PathQuestion {
  readonly leaf: Certificate;
  /** In any order; useless ones do no harm. */
  readonly intermediates: readonly Certificate[];
  readonly anchors: readonly Certificate[];
  readonly purpose: Purpose;
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** Longer chains than any authority makes. */
const maxDepth = 8;
/** Signature checks a question may cost: a peer chooses how many candidates it sends. */
const maxSignatures = 16;

const bit = { digitalSignature: 0, keyCertSign: 5 } as const;
const processed: ReadonlySet<string> = new Set([
  oids.basicConstraints,
  oids.keyUsage,
  oids.extendedKeyUsage,
  oids.subjectAltName,
]);
/**
 * Extensions that limit what an authority may vouch for. RFC 5280 has them critical; one that is not is
 * refused all the same, for to overlook it is to overstep the limit.
 */
const limits: ReadonlyMap<string, string> = new Map([
  ["2.5.29.30", "name constraints (RFC 5280 §4.2.1.10)"],
  ["2.5.29.36", "policy constraints (RFC 5280 §4.2.1.11)"],
  ["2.5.29.54", "inhibit anyPolicy (RFC 5280 §4.2.1.14)"],
]);
const usage: Readonly<Record<Purpose, string>> = { client: oids.clientAuth, server: oids.serverAuth };

const unfit = (certificate: Certificate, what: string): PathFailure => ({
  reason: "client_cert_unfit",
  detail: `${describe(certificate)}: ${what}`,
});

const untrusted = (certificate: Certificate, what: string): PathFailure => ({
  reason: "client_cert_untrusted",
  detail: `${describe(certificate)}: ${what}`,
});

const day = (time: number): string => new Date(time).toISOString();

/** Rules that hold for every certificate of a path, the anchor included. */
function checkCommon(certificate: Certificate, now: number): PathFailure | undefined {
  const expired = (what: string): PathFailure => ({
    reason: "client_cert_expired",
    detail: `${describe(certificate)}: ${what} (RFC 5280 §6.1.3 (a)(2))`,
  });
  if (now < certificate.notBefore) return expired(`not valid before ${day(certificate.notBefore)}`);
  if (now > certificate.notAfter) return expired(`expired at ${day(certificate.notAfter)}`);
  for (const [oid, { critical }] of certificate.extensions) {
    const limit = limits.get(oid);
    if (limit !== undefined) return unfit(certificate, `${limit} are not processed`);
    if (critical && !processed.has(oid)) {
      return unfit(certificate, `a critical extension that is not processed, ${oid} (RFC 5280 §4.2)`);
    }
  }
  const unusable = unusableKey(certificate.spki);
  return unusable === undefined ? undefined : unfit(certificate, unusable);
}

/** A positive INTEGER of at most 20 octets (RFC 5280 §4.1.2.2). Old anchors have others; they vouch by their key. */
function checkSerial(certificate: Certificate): PathFailure | undefined {
  const { serial } = certificate;
  const proper = !serial.startsWith("-") && /[1-9a-f]/.test(serial) && serial.length <= 40;
  return proper ? undefined : unfit(certificate, "its serial number is out of range (RFC 5280 §4.1.2.2)");
}

function checkLeaf(leaf: Certificate, purpose: Purpose, now: number): PathFailure | undefined {
  const common = checkCommon(leaf, now) ?? checkSerial(leaf);
  if (common !== undefined) return common;
  if (leaf.version !== 3) return unfit(leaf, "not an X.509 version 3 certificate (RFC 5280 §4.1.2.1)");
  if (leaf.subjectName.length === 0 && leaf.extensions.get(oids.subjectAltName)?.critical !== true) {
    return unfit(leaf, "an empty subject without a critical subjectAltName (RFC 5280 §4.1.2.6)");
  }
  if (leaf.basicConstraints?.ca === true)
    return unfit(leaf, "an authority's certificate, not a holder's (RFC 5280 §4.2.1.9)");
  if (leaf.keyUsage !== null && !leaf.keyUsage.has(bit.digitalSignature)) {
    return unfit(leaf, "its key usage lacks digitalSignature (RFC 5280 §4.2.1.3)");
  }
  if (leaf.keyUsage?.has(bit.keyCertSign) === true) {
    return unfit(leaf, "may sign certificates but is no authority (RFC 5280 §4.2.1.9)");
  }
  // anyExtendedKeyUsage is not enough: a certificate for everything was not made for this.
  if (leaf.extendedKeyUsage === null || !leaf.extendedKeyUsage.includes(usage[purpose])) {
    return unfit(leaf, `its extended key usage lacks ${purpose}Auth (RFC 5280 §4.2.1.12)`);
  }
  return undefined;
}

/**
 * Rules for whoever issued the next certificate towards the leaf, the anchor included.
 *
 * @param below how many certificates that are not self-issued stand between it and the leaf
 */
function checkIssuer(
  issuer: Certificate,
  below: number,
  purpose: Purpose,
  now: number,
): PathFailure | undefined {
  const common = checkCommon(issuer, now);
  if (common !== undefined) return common;
  if (issuer.version !== 3)
    return unfit(issuer, "an issuer that is not an X.509 version 3 certificate (RFC 5280 §6.1.4 (k))");
  if (issuer.basicConstraints?.ca !== true)
    return unfit(issuer, "issued a certificate but is no authority (RFC 5280 §6.1.4 (k))");
  if (issuer.subjectName.length === 0)
    return unfit(issuer, "an authority without a name (RFC 5280 §4.1.2.6)");
  const { pathLength } = issuer.basicConstraints;
  if (pathLength !== null && below > pathLength) {
    return unfit(issuer, `a path longer than its limit of ${pathLength} (RFC 5280 §6.1.4 (m))`);
  }
  if (issuer.keyUsage !== null && !issuer.keyUsage.has(bit.keyCertSign)) {
    return unfit(issuer, "its key usage lacks keyCertSign (RFC 5280 §6.1.4 (n))");
  }
  // Not in RFC 5280, but what every browser and server does: an authority limited to other purposes can't give
  // this one. One that names anyExtendedKeyUsage says that it is not limited (RFC 5280 §4.2.1.12).
  const purposes = issuer.extendedKeyUsage;
  if (purposes !== null && !purposes.includes(usage[purpose]) && !purposes.includes(oids.anyPurpose)) {
    return unfit(issuer, `its extended key usage lacks ${purpose}Auth`);
  }
  return undefined;
}

/**
 * Finds a valid path from the leaf to one of the anchors (RFC 5280 §6), trying candidates by name and
 * pruning at the first bad signature. Pure but for WebCrypto; the work is bounded whatever was sent.
 */
export async function validatePath(question: PathQuestion): Promise<PathResult> {
  const { leaf, anchors, intermediates, purpose, now } = question;
  let signatures = 0;
  // Of all that is wrong the first is told; what stands in a certificate that was really issued before what was not.
  let failure: PathFailure | undefined;
  let unsigned: PathFailure | undefined;

  const extend = async (
    path: readonly Certificate[],
    below: number,
  ): Promise<readonly Certificate[] | undefined> => {
    const tip = path[path.length - 1];
    if (tip === undefined || path.length >= maxDepth) return undefined;
    for (const [candidates, isAnchor] of [
      [anchors, true],
      [intermediates, false],
    ] as const) {
      for (const issuer of named(candidates, tip.issuer)) {
        if (path.some((one) => sameBytes(one.raw, issuer.raw))) continue;
        if (signatures === maxSignatures) {
          failure ??= untrusted(leaf, `gave up after ${maxSignatures} signatures`);
          return undefined;
        }
        signatures++;
        const bad = await checkSignature(tip, issuer);
        if (bad !== undefined) {
          unsigned ??= untrusted(tip, bad);
          continue;
        }
        const broken =
          (isAnchor ? undefined : checkSerial(issuer)) ?? checkIssuer(issuer, below, purpose, now);
        if (broken !== undefined) {
          failure ??= broken;
          continue;
        }
        const longer = [...path, issuer];
        if (isAnchor) return longer;
        const found = await extend(longer, sameBytes(issuer.subject, issuer.issuer) ? below : below + 1);
        if (found !== undefined) return found;
      }
    }
    return undefined;
  };

  const path = await extend([leaf], 0);
  if (path === undefined) {
    return {
      ok: false,
      failure: failure ?? unsigned ?? untrusted(leaf, "no path to a trusted authority (RFC 5280 §6.1)"),
    };
  }
  // After the path: who is not trusted learns nothing about the rules.
  const broken = checkLeaf(leaf, purpose, now);
  if (broken !== undefined) return { ok: false, failure: broken };
  return {
    ok: true,
    path,
    notBefore: Math.max(...path.map((certificate) => certificate.notBefore)),
    notAfter: Math.min(...path.map((certificate) => certificate.notAfter)),
  };
}

/** Those of that name, each once. Names are compared as bytes, which is stricter than RFC 5280 §7.1. */
function named(certificates: readonly Certificate[], name: Uint8Array): Certificate[] {
  const kept: Certificate[] = [];
  for (const one of certificates) {
    if (sameBytes(one.subject, name) && !kept.some((other) => sameBytes(other.raw, one.raw))) kept.push(one);
  }
  return kept;
}
