import { certificatesFromPem, toPem } from "../authority/pem.ts";
import { type Certificate, parseCertificate } from "../identity/certificate.ts";
import { sameBytes } from "../identity/same-bytes.ts";
import { constructed, tag } from "../wire/der.ts";
import { derElement, derInteger, derOid } from "../wire/der-write.ts";

/** A kind of key that there is not (ITU-T X.667 has a place for one's own). */
const noAlgorithm = derElement(tag.sequence, derOid("2.25.0"));
const noBits = derElement(tag.bitString, Uint8Array.of(0));
const unsigned = Uint8Array.of(...noAlgorithm, ...noBits);
const text = new TextEncoder();
/** RFC 5280 §4.1.2.5. */
const ever = derElement(
  tag.sequence,
  derElement(tag.utcTime, text.encode("000101000000Z")),
  derElement(tag.generalizedTime, text.encode("99991231235959Z")),
);
/** The number of no key (RFC 5280 §4.2.1.2): who says whose key signed is not taken for issued by a name alone. */
const noKey = derElement(
  constructed(3),
  derElement(
    tag.sequence,
    derElement(
      tag.sequence,
      derOid("2.5.29.14"),
      derElement(tag.octetString, derElement(tag.octetString, text.encode("no key"))),
    ),
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
    derElement(tag.sequence, noAlgorithm, noBits),
    noKey,
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

/** Whether a certificate is signed by nobody: a runtime that puts what it knows behind what a peer sent shows those, too. */
export const isNameAlone = (der: Uint8Array): boolean => sameBytes(der.subarray(-unsigned.length), unsigned);

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
