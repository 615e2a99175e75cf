import { keyPem, newKeys } from "../authority/keys.ts";
import { toPem } from "../authority/pem.ts";
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from "../authority/x509.ts";
import type { ClientPair } from "./link.ts";

const lifetimeMs = 365 * 86_400_000;
const anHourMs = 3_600_000;

/** A certificate for this machine's own names, signed by itself: for clients that want TLS on the loopback too. */
export async function selfSigned(now: number): Promise<ClientPair> {
  const keys = await newKeys("ecdsa");
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: "CN=sallyport local proxy",
    keys,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    notBefore: new Date(now - anHourMs),
    notAfter: new Date(now + lifetimeMs),
    extensions: [
      // Whoever trusts it trusts this one alone, and nothing that it could sign.
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension([
        { type: "dns", value: "localhost" },
        { type: "ip", value: "127.0.0.1" },
        { type: "ip", value: "::1" },
      ]),
    ],
  });
  return {
    certificate: toPem("CERTIFICATE", new Uint8Array(certificate.rawData)),
    key: await keyPem(keys.privateKey),
  };
}
