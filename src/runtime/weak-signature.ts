import { parseCertificate } from "../identity/certificate.ts";
import { isBySha1 } from "../identity/signature.ts";
import { chainOf, type LinkedCertificate } from "./tls-connection.ts";

/**
 * A signature by SHA-1 in a server's chain, which Bun alone takes (1.4.5); an anchor's own is nothing to anybody.
 *
 * @param shown the chain, which is dear, and not asked for elsewhere
 */
export function weakSignature(shown: () => LinkedCertificate | undefined): Error | undefined {
  if (!("Bun" in globalThis)) return undefined;
  const isWeak = chainOf(shown()).some((der) => {
    const certificate = parseCertificate(der);
    if ("malformed" in certificate) return false;
    const { algorithm, canonicalSubject, canonicalIssuer } = certificate;
    return isBySha1(algorithm) && canonicalSubject.join() !== canonicalIssuer.join();
  });
  return isWeak ? new Error("its chain has a signature by SHA-1, which is too weak") : undefined;
}
