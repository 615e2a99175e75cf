import { certificatesFromPem } from "../authority/pem.ts";
import type { Person } from "../authority/subject.ts";
import { parseCertificate } from "../identity/certificate.ts";
import { grantsOid } from "../identity/grants.ts";
import { type CertificateIdentity, type Identity, identityOf, sha256Hex } from "../identity/identity.ts";
import { formatCidr } from "../wire/ip.ts";
import type { IssuedRecord } from "./issued-record.ts";
import { EnrolmentRefusal } from "./refusal.ts";

/** A stolen key must not be good for longer than its certificate. Throws an `EnrolmentRefusal`. */
export async function refuseOldKey(identity: CertificateIdentity, publicKey: Uint8Array): Promise<void> {
  if (identity.keyFingerprint === (await sha256Hex(publicKey)))
    throw new EnrolmentRefusal(
      "key_unfit",
      "csr: has the key of the certificate to renew; expected a new one",
    );
}

/** RFC 5280 §4.2.1 and §4.2.2.1: identifiers, usages, names, and where to ask. None of them is a grant or a limit of ours. */
const plain: ReadonlySet<string> = new Set([
  ...["2.5.29.14", "2.5.29.35", "2.5.29.15", "2.5.29.37", "2.5.29.17", "2.5.29.19", "2.5.29.31"],
  "1.3.6.1.5.5.7.1.1",
  // Read below, and written into the next one.
  grantsOid,
]);

/**
 * What there is to know of a certificate that was issued by hand. What an extension says must not get lost on the way
 * into the next one: throws an `EnrolmentRefusal` where there is another.
 */
export function recordByHand(
  certificate: Uint8Array,
  { lifetimeMs, renewalSpanMs }: { readonly lifetimeMs: number; readonly renewalSpanMs: number },
): IssuedRecord {
  const parsed = parseCertificate(certificate);
  if ("malformed" in parsed) throw new TypeError(parsed.malformed);
  const other = [...parsed.extensions.keys()].find((oid) => !plain.has(oid));
  const { notBefore, notAfter, grants } = parsed;
  const limits = {
    ...(grants?.sources ? { sources: grants.sources.map(formatCidr) } : {}),
    ...(grants?.routes ? { routes: [...grants.routes] } : {}),
  };
  if (other === undefined)
    return {
      lifetimeMs,
      renewableUntil: notBefore + renewalSpanMs,
      expires: notAfter,
      ...(Object.keys(limits).length === 0 ? {} : { limits }),
    };
  throw new EnrolmentRefusal(
    "client_cert_unfit",
    `this certificate has the extension ${other}, which a renewal could not carry on`,
  );
}

/** Shorter certificates would be expired before they are used. */
const leastMs = 5 * 60_000;

/** How long a renewed certificate may last: as long as the first, and not longer than it can be renewed. */
export function renewableFor(
  { lifetimeMs, renewableUntil }: Pick<IssuedRecord, "lifetimeMs" | "renewableUntil">,
  now: number,
): number {
  const left = renewableUntil - now;
  if (left >= leastMs) return Math.min(lifetimeMs, left);
  throw new EnrolmentRefusal(
    "client_cert_expired",
    "this certificate can't be renewed any longer: log in anew",
  );
}

/** The holder of a verified certificate, as the authority takes them: all of the identity, or a refusal. */
export function personOf(identity: Identity): Person {
  const { commonName, organizations, ips } = identity;
  if (commonName === null || organizations.length > 1 || ips.length > 0)
    throw new EnrolmentRefusal(
      "client_cert_unfit",
      "this certificate has an identity that the authority does not issue; it can't be renewed",
    );
  const [organization] = organizations;
  return {
    commonName,
    ...(organization === undefined ? {} : { organization }),
    groups: identity.groups,
    emails: identity.emails,
    dnsNames: identity.dnsNames,
    uris: identity.uris,
  };
}

const said = ({ subject, dnsNames, emails, uris, ips, groups, sources, routes }: Identity): string =>
  JSON.stringify(
    [[subject], dnsNames, emails, uris, ips, groups, sources ?? ["any"], routes ?? ["any"]].map((one) =>
      [...one].sort(),
    ),
  );

/** Who a certificate (PEM) that the authority just made is for. Throws an `EnrolmentRefusal`. */
export async function identityIn(certificate: string): Promise<CertificateIdentity> {
  const [der] = certificatesFromPem(certificate);
  const parsed = der === undefined ? undefined : parseCertificate(der);
  if (parsed === undefined || "malformed" in parsed)
    throw new EnrolmentRefusal("authority_failed", "the authority made a certificate that can't be read");
  return await identityOf(parsed);
}

/** Throws unless two certificates say the same of their holder. */
export function checkSameHolder(old: Identity, renewed: Identity): void {
  if (said(old) !== said(renewed))
    throw new EnrolmentRefusal("authority_failed", "the new certificate would not be for the same holder");
}
