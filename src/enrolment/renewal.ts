import type { Person } from "../authority/authority.ts";
import { certificatesFromPem } from "../authority/pem.ts";
import { parseCertificate } from "../identity/certificate.ts";
import { type Identity, identityOf, sha256Hex } from "../identity/identity.ts";
import { EnrolmentRefusal } from "./refusal.ts";

/** A stolen key must not be good for longer than its certificate. Throws an `EnrolmentRefusal`. */
export async function refuseOldKey(identity: Identity, publicKey: Uint8Array): Promise<void> {
  if (identity.keyFingerprint === (await sha256Hex(publicKey)))
    throw new EnrolmentRefusal(
      "key_unfit",
      "csr: has the key of the certificate to renew; expected a new one",
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

const said = ({ subject, dnsNames, emails, uris, ips, groups }: Identity): string =>
  JSON.stringify([[subject], dnsNames, emails, uris, ips, groups].map((one) => [...one].sort()));

/** Throws unless a new certificate (PEM) says the same of its holder as the old one did. */
export async function checkSameHolder(identity: Identity, certificate: string): Promise<void> {
  const [der] = certificatesFromPem(certificate);
  const parsed = der === undefined ? undefined : parseCertificate(der);
  if (parsed === undefined || "malformed" in parsed || said(await identityOf(parsed)) !== said(identity))
    throw new EnrolmentRefusal("authority_failed", "the new certificate would not be for the same holder");
}
