import { formatCidr } from "../wire/ip.ts";
import type { Certificate } from "./certificate.ts";
import { defaultGroupSources, type GroupSource, groupsIn } from "./groups.ts";
import { formatName, valuesOf } from "./name.ts";
import { spiffeOf } from "./spiffe.ts";

/** Who somebody is: what a verified client certificate says of its holder, or a provider of whom it signed in. */
export interface Identity {
  /** RFC 4514: `CN=alice,OU=payments,O=Example`. */
  readonly subject: string;
  /** The most specific one, where there are several. */
  readonly commonName: string | null;
  readonly organizations: readonly string[];
  readonly organizationalUnits: readonly string[];
  readonly dnsNames: readonly string[];
  readonly emails: readonly string[];
  readonly uris: readonly string[];
  readonly ips: readonly string[];
  /** A valid SPIFFE ID, or `null`. */
  readonly spiffe: string | null;
  /** From wherever the configuration has them found. */
  readonly groups: readonly string[];
  /** Networks from which, and routes for which, the certificate may be used; `null`: any. */
  readonly sources: readonly string[] | null;
  readonly routes: readonly string[] | null;
  /** Of the certificate, lower-case hexadecimal; `null` without one. */
  readonly serial: string | null;
  /** SHA-256 of the certificate, lower-case hexadecimal; `null` without one. */
  readonly fingerprint: string | null;
  /** ISO 8601. */
  readonly expires: string;
}

/** The identity of a certificate's holder. */
export interface CertificateIdentity extends Identity {
  readonly serial: string;
  readonly fingerprint: string;
  /** SHA-256 of its SubjectPublicKeyInfo, lower-case hexadecimal. */
  readonly keyFingerprint: string;
}

/** Lower-case hexadecimal. */
export async function sha256Hex(bytes: Uint8Array): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as BufferSource));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Reads the identity out of a certificate, which must have been verified. */
export async function identityOf(
  certificate: Certificate,
  groupSources: readonly GroupSource[] = defaultGroupSources,
): Promise<CertificateIdentity> {
  const { subjectName, names, grants } = certificate;
  return {
    subject: formatName(subjectName),
    commonName: valuesOf(subjectName, "CN").at(-1) ?? null,
    organizations: valuesOf(subjectName, "O"),
    organizationalUnits: valuesOf(subjectName, "OU"),
    dnsNames: names.dns,
    emails: names.email,
    uris: names.uri,
    ips: names.ip,
    spiffe: spiffeOf(names.uri),
    groups: groupsIn(certificate, groupSources),
    sources: grants?.sources?.map(formatCidr) ?? null,
    routes: grants?.routes ?? null,
    serial: certificate.serial,
    fingerprint: await sha256Hex(certificate.raw),
    keyFingerprint: await sha256Hex(certificate.spki),
    expires: new Date(certificate.notAfter).toISOString(),
  };
}
