import { certificatesFromPem, toPem } from "../authority/pem.ts";
import { type Certificate, parseCertificate } from "../identity/certificate.ts";
import { sameBytes } from "../identity/same-bytes.ts";
import { constructed, tag } from "../wire/der.ts";
import { derElement, derInteger, derOid } from "../wire/der-write.ts";

/** A kind of signature that there is not (ITU-T X.667 has a place for one's own). */
const noAlgorithm = derElement(tag.sequence, derOid("2.25.0"));
const noBits = derElement(tag.bitString, Uint8Array.of(0));
const text = new TextEncoder();
/**
 * Ed25519 (RFC 8410 §4). One that can't be read would leave an error behind in OpenSSL, which takes it for one of the next
 * read; and with one of small order, as zero is, anybody makes signatures. This is a point of the curve like any other.
 */
const nobodysKey = derElement(
  tag.sequence,
  derElement(tag.sequence, derOid("1.3.101.112")),
  derElement(tag.bitString, Uint8Array.of(0, ...text.encode("nobody holds the half that signs"))),
);
/** RFC 5280 §4.1.2.5. */
const ever = derElement(
  tag.sequence,
  derElement(tag.utcTime, text.encode("000101000000Z")),
  derElement(tag.generalizedTime, text.encode("99991231235959Z")),
);
const extension = (oid: string, value: Uint8Array): Uint8Array =>
  derElement(tag.sequence, derOid(oid), derElement(tag.octetString, value));
/** It signs nothing (RFC 5280 §4.2.1.3), and has the number of no key (§4.2.1.2): it is nobody's issuer. */
const nobodysIssuer = derElement(
  constructed(3),
  derElement(
    tag.sequence,
    extension("2.5.29.14", derElement(tag.octetString, text.encode("no key"))),
    extension("2.5.29.15", derElement(tag.bitString, Uint8Array.of(7, 0x80))),
  ),
);

/** A certificate that says a name and nothing else: nothing can be signed by its key, and by nobody is it signed. */
function nameAlone(subject: Uint8Array): Uint8Array {
  const signed = derElement(
    tag.sequence,
    derElement(constructed(0), derInteger(2)),
    derInteger(1),
    noAlgorithm,
    subject,
    ever,
    subject,
    nobodysKey,
    nobodysIssuer,
  );
  return derElement(tag.sequence, signed, noAlgorithm, noBits);
}

/** The names of authorities, in PEM; `null` where one of them can't be read. */
export function namesAlone(authorities: readonly string[]): readonly string[] | null {
  const named = new Map<string, string>();
  for (const der of authorities.flatMap(certificatesFromPem)) {
    const certificate = parseCertificate(der);
    if ("malformed" in certificate) return null;
    const pem = toPem("CERTIFICATE", nameAlone(certificate.subject));
    named.set(pem, pem);
  }
  return [...named.values()];
}

const isReadable = (parsed: ReturnType<typeof parseCertificate>): parsed is Certificate =>
  !("malformed" in parsed);

function isBy(one: Certificate, issuer: Certificate): boolean {
  const [said, key] = [one.authorityKeyId?.keyId ?? null, issuer.subjectKeyId];
  return (
    one.canonicalIssuer.join() === issuer.canonicalSubject.join() &&
    (said === null || key === null || sameBytes(said, key))
  );
}

/**
 * A server's certificate with the issuers behind it that a TLS library would put there by itself, where it is a single
 * one, from the authorities that it is given. It must not be left to find their names alone.
 *
 * @param cert PEM, as is what it gives
 */
export function withIssuers(cert: string, authorities: readonly string[]): string {
  const [leaf, ...sent] = certificatesFromPem(cert);
  if (leaf === undefined || sent.length > 0) return cert;
  const known = authorities.flatMap(certificatesFromPem).map(parseCertificate).filter(isReadable);
  const issuers: Certificate[] = [];
  let last: Certificate | undefined = [parseCertificate(leaf)].find(isReadable);
  while (last !== undefined && !isBy(last, last)) {
    const one: Certificate = last;
    last = known.find((issuer) => !issuers.includes(issuer) && isBy(one, issuer));
    if (last !== undefined) issuers.push(last);
  }
  return [cert, ...issuers.map(({ raw }) => toPem("CERTIFICATE", raw))].join("\n");
}
