import { derInteger } from "../wire/der-write.ts";
import type { Authority } from "./authority.ts";
import { toPem } from "./pem.ts";
import { AuthorityKeyIdentifierExtension, Extension, X509CrlGenerator, X509CrlReason } from "./x509.ts";

/** Why a certificate was revoked (RFC 5280 §5.3.1): some reason there always is. */
export const revocationReasons = [
  "keyCompromise",
  "affiliationChanged",
  "superseded",
  "cessationOfOperation",
  "privilegeWithdrawn",
] as const;
export type RevocationReason = (typeof revocationReasons)[number];

export interface RevokedCertificate {
  /** Lower-case hexadecimal. */
  readonly serial: string;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly reason: RevocationReason;
  /** When the certificate ends, and need not be listed any more; `null`: not known. */
  readonly expires: number | null;
}

/** An expired certificate is on one list after its end at least (RFC 5280 §3.3). */
const afterEndMs = 24 * 3_600_000;
const cRLNumber = "2.5.29.20";

/** Without those whose end is long past. */
export const stillListed = (revoked: readonly RevokedCertificate[], now: number): RevokedCertificate[] =>
  revoked.filter(({ expires }) => expires === null || expires + afterEndMs > now);

/** A list of what an authority revoked, PEM. Its number is its time, which only ever grows (RFC 5280 §5.2.3). */
export async function revocationList(
  authority: Authority,
  revoked: readonly RevokedCertificate[],
  lifetimeMs: number,
  now = Date.now(),
): Promise<string> {
  const { key, algorithm } = authority.signer;
  const list = await X509CrlGenerator.create({
    issuer: authority.certificate.subjectName,
    thisUpdate: new Date(now),
    nextUpdate: new Date(now + lifetimeMs),
    entries: stillListed(revoked, now).map(({ serial, at, reason }) => ({
      serialNumber: serial,
      revocationDate: new Date(at),
      reason: X509CrlReason[reason],
    })),
    extensions: [
      await AuthorityKeyIdentifierExtension.create(authority.certificate),
      new Extension(cRLNumber, false, derInteger(now) as BufferSource),
    ],
    signingKey: key,
    signingAlgorithm: algorithm,
  });
  return toPem("X509 CRL", new Uint8Array(list.rawData));
}
