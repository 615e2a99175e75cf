import { keyPem, newKeys } from "../authority/keys.ts";
import { Extension, SubjectAlternativeNameExtension, X509CertificateGenerator } from "../authority/x509.ts";
import type { CertificateAndKey } from "../core/contexts.ts";

/** id-pe-acmeIdentifier (RFC 8737 §6.1). */
const acmeIdentifier = "1.3.6.1.5.5.7.1.31";
const octetString = 0x04;
const dayMs = 24 * 3_600_000;

/** What a validation is shown: self-signed, for the name alone, with the hash of what the account says (RFC 8737 §3). */
export async function challengeCertificate(
  name: string,
  keyAuthorization: string,
): Promise<CertificateAndKey> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(keyAuthorization));
  const keys = await newKeys("ecdsa");
  const now = Date.now();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: "CN=ACME validation",
    notBefore: new Date(now - dayMs),
    notAfter: new Date(now + dayMs),
    keys,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions: [
      new SubjectAlternativeNameExtension([{ type: "dns", value: name }]),
      new Extension(
        acmeIdentifier,
        true,
        Uint8Array.of(octetString, hash.byteLength, ...new Uint8Array(hash)),
      ),
    ],
  });
  return { cert: `${certificate.toString("pem")}\n`, key: await keyPem(keys.privateKey) };
}
