import { objectIdentifier, sequence, tag } from "../../wire/der.ts";
import { derElement, derNull, derOid } from "../../wire/der-write.ts";
import type { Certificate } from "../certificate.ts";
import { oids } from "../oids.ts";
import { serialBytes } from "../serial.ts";

/**
 * Which certificate is meant (RFC 6960 §4.1.1). The hash is SHA-1, which every responder knows (RFC 5019
 * §2.1.1): it only finds the certificate, and proves nothing.
 */
export interface CertId {
  readonly nameHash: Uint8Array;
  readonly keyHash: Uint8Array;
  /** As a certificate's serial number is written. */
  readonly serial: string;
}

/** With NULL parameters, as responders expect it. */
export const sha1Algorithm = derElement(tag.sequence, derOid("1.3.14.3.2.26"), derNull);

const sha1 = async (bytes: Uint8Array): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.digest("SHA-1", bytes as BufferSource));

/** The key without its algorithm: the contents of the BIT STRING. */
const keyBits = (spki: Uint8Array): Uint8Array => sequence(spki)?.[1]?.value.subarray(1) ?? new Uint8Array(0);

export async function certIdOf(certificate: Certificate, issuer: Certificate): Promise<CertId> {
  const [nameHash, keyHash] = await Promise.all([sha1(certificate.issuer), sha1(keyBits(issuer.spki))]);
  return { nameHash, keyHash, serial: certificate.serial };
}

/** An OCSPRequest for one certificate, unsigned and without extensions (RFC 6960 §4.1). */
export function ocspRequest({ nameHash, keyHash, serial }: CertId): Uint8Array {
  const certId = derElement(
    tag.sequence,
    sha1Algorithm,
    derElement(tag.octetString, nameHash),
    derElement(tag.octetString, keyHash),
    derElement(tag.integer, serialBytes(serial)),
  );
  let request = certId;
  // Request, requestList, tbsRequest, OCSPRequest.
  for (let i = 0; i < 4; i++) request = derElement(tag.sequence, request);
  return request;
}

const ocspMethod = "1.3.6.1.5.5.7.48.1";
const uriTag = 0x86;

/** Where a certificate's authority answers (RFC 6960 §3.1): the first http or https URL; `null` where it names none. */
export function responderOf(certificate: Certificate): string | null {
  const access = sequence(certificate.extensions.get(oids.authorityInfoAccess)?.value) ?? [];
  for (const description of access) {
    const [method, location] = sequence(description.raw) ?? [];
    if (objectIdentifier(method) !== ocspMethod || location?.tag !== uriTag) continue;
    const url = String.fromCharCode(...location.value.subarray(0, 2048));
    if (/^https?:\/\/[!-~]+$/i.test(url) && URL.canParse(url)) return url;
  }
  return null;
}
