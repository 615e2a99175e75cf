import { calculateJwkThumbprint, exportJWK, generateKeyPair, importPKCS8, type JWK } from "jose";

/** The key that signs identity assertions, as those who check them see it: public halves alone (RFC 7517 §5). */
export interface KeySet {
  readonly keys: readonly JWK[];
}

const algorithms = ["ES256", "EdDSA", "RS256"] as const;

async function publicHalf(key: CryptoKey, alg: string): Promise<JWK> {
  const { kty, crv, x, y, n, e } = await exportJWK(key);
  // Named one by one: whatever else an export holds, the private half among it, stays here.
  const members = Object.entries({ kty, crv, x, y, n, e }).filter(([, value]) => value !== undefined);
  const jwk = Object.fromEntries(members) as JWK;
  return { ...jwk, kid: await calculateJwkThumbprint(jwk), use: "sig", alg };
}

/**
 * The public half of a key in PEM (PKCS #8; P-256, Ed25519 or RSA of 2048 bits and more), or of a new one.
 * Throws with words for the user; the key's text is in none of them.
 */
export async function assertionKeys(pem: string | null): Promise<KeySet> {
  if (pem === null) {
    const { publicKey } = await generateKeyPair("ES256");
    return { keys: [await publicHalf(publicKey, "ES256")] };
  }
  for (const alg of algorithms) {
    try {
      const key = await importPKCS8(pem, alg, { extractable: true });
      const jwk = await publicHalf(key, alg);
      if (alg !== "RS256" || (jwk.n?.length ?? 0) >= (2048 / 8 / 3) * 4) return { keys: [jwk] };
    } catch {
      // Another kind, or none of them.
    }
  }
  throw new Error(
    "can't be used: expected a private key in PEM (PKCS #8): P-256, Ed25519, or RSA of 2048 bits at least",
  );
}
