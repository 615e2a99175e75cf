import { toPem } from "../authority/pem.ts";
import { Pkcs10CertificateRequestGenerator } from "../authority/x509.ts";

/** A new key, and the request to have it certified. */
export interface NewRequest {
  /** PEM (PKCS #8). It goes nowhere. */
  readonly key: string;
  /** PEM (PKCS #10), without a name: the authority knows whom it is for. */
  readonly csr: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;

/** A new P-256 key with its request. */
export async function newRequest(): Promise<NewRequest> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const request = await Pkcs10CertificateRequestGenerator.create({ keys, signingAlgorithm: algorithm });
  const [key, publicKey] = await Promise.all([
    crypto.subtle.exportKey("pkcs8", keys.privateKey),
    crypto.subtle.exportKey("spki", keys.publicKey),
  ]);
  return {
    key: toPem("PRIVATE KEY", new Uint8Array(key)),
    csr: toPem("CERTIFICATE REQUEST", new Uint8Array(request.rawData)),
    publicKey: new Uint8Array(publicKey),
  };
}
