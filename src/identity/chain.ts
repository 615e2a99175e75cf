import type { Reason } from "../errors.ts";
import { type Certificate, describe, oids } from "./certificate.ts";
import { checkSignature, weakKey } from "./signature.ts";

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
      /** The earliest end of validity on the path, milliseconds since 1970. */
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
const maxSignatures = 32;

const bit = { digitalSignature: 0, keyCertSign: 5 } as const;
const processed: ReadonlySet<string> = new Set([
  oids.basicConstraints,
  oids.keyUsage,
  oids.extendedKeyUsage,
  oids.subjectAltName,
]);
const usage: Readonly<Record<Purpose, string>> = { client: oids.clientAuth, server: oids.serverAuth };

const same = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i]);

const unfit = (certificate: Certificate, what: string): PathFailure => ({
  reason: "client_cert_unfit",
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
    if (critical && !processed.has(oid)) {
      return unfit(certificate, `a critical extension that is not processed, ${oid} (RFC 5280 §4.2)`);
    }
  }
  const weak = weakKey(certificate.spki);
  return weak === undefined ? undefined : unfit(certificate, weak);
}

function checkLeaf(leaf: Certificate, purpose: Purpose, now: number): PathFailure | undefined {
  const common = checkCommon(leaf, now);
  if (common !== undefined) return common;
  if (leaf.version !== 3) return unfit(leaf, "not an X.509 version 3 certificate (RFC 5280 §4.1.2.1)");
  if (leaf.basicConstraints?.ca === true)
    return unfit(leaf, "an authority's certificate, not a holder's (RFC 5280 §4.2.1.9)");
  if (leaf.keyUsage !== null && !leaf.keyUsage.has(bit.digitalSignature)) {
    return unfit(leaf, "its key usage lacks digitalSignature (RFC 5280 §4.2.1.3)");
  }
  if (leaf.extendedKeyUsage === null || !leaf.extendedKeyUsage.includes(usage[purpose])) {
    return unfit(leaf, `its extended key usage lacks ${purpose}Auth (RFC 5280 §4.2.1.12)`);
  }
  return undefined;
}

/**
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
  const { pathLength } = issuer.basicConstraints;
  if (pathLength !== null && below > pathLength) {
    return unfit(issuer, `a path longer than its limit of ${pathLength} (RFC 5280 §6.1.4 (m))`);
  }
  if (issuer.keyUsage !== null && !issuer.keyUsage.has(bit.keyCertSign)) {
    return unfit(issuer, "its key usage lacks keyCertSign (RFC 5280 §6.1.4 (n))");
  }
  // Not in RFC 5280, but what every browser and server does: an authority limited to other purposes can't give this one.
  if (issuer.extendedKeyUsage !== null && !issuer.extendedKeyUsage.includes(usage[purpose])) {
    return unfit(issuer, `its extended key usage lacks ${purpose}Auth`);
  }
  return undefined;
}

/**
 * Finds a valid path from the leaf to one of the anchors (RFC 5280 §6), trying candidates by name and
 * pruning at the first bad signature. Pure but for WebCrypto; the work is bounded whatever was sent.
 */
export async function validatePath(question: PathQuestion): Promise<PathResult> {
  const { leaf, anchors, purpose, now } = question;
  const intermediates = distinct(question.intermediates);
  const signatures = { left: maxSignatures };
  let failure: PathFailure | undefined;
  const remember = (found: PathFailure): void => {
    failure ??= found;
  };

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
      for (const issuer of candidates) {
        if (!same(issuer.subject, tip.issuer) || path.some((one) => same(one.raw, issuer.raw))) continue;
        if (signatures.left-- <= 0) {
          remember({
            reason: "client_cert_untrusted",
            detail: `${describe(leaf)}: gave up after ${maxSignatures} signatures`,
          });
          return undefined;
        }
        const bad = await checkSignature(tip, issuer);
        if (bad !== undefined) continue;
        const broken = checkIssuer(issuer, below, purpose, now);
        if (broken !== undefined) {
          remember(broken);
          continue;
        }
        const longer = [...path, issuer];
        if (isAnchor) return longer;
        const found = await extend(longer, same(issuer.subject, issuer.issuer) ? below : below + 1);
        if (found !== undefined) return found;
      }
    }
    return undefined;
  };

  const path = await extend([leaf], 0);
  if (path === undefined) {
    return {
      ok: false,
      failure: failure ?? {
        reason: "client_cert_untrusted",
        detail: `${describe(leaf)}: no path to a trusted authority`,
      },
    };
  }
  // After the path: who is not trusted learns nothing about the rules.
  const broken = checkLeaf(leaf, purpose, now);
  if (broken !== undefined) return { ok: false, failure: broken };
  return { ok: true, path, notAfter: Math.min(...path.map((certificate) => certificate.notAfter)) };
}

function distinct(certificates: readonly Certificate[]): Certificate[] {
  const kept: Certificate[] = [];
  for (const certificate of certificates) {
    if (!kept.some((one) => same(one.raw, certificate.raw))) kept.push(certificate);
  }
  return kept;
}
