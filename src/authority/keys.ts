import { objectIdentifier, only, sequence, tag } from "../wire/der.ts";
import { decrypt, isEncrypted } from "./encrypted-key.ts";
import { toPem } from "./pem.ts";

/** What keys may be made of; P-256 unless somebody needs another. */
export const keyKinds = ["ecdsa", "ed25519", "rsa"] as const;
export type KeyKind = (typeof keyKinds)[number];

const algorithms = {
  ecdsa: { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  ed25519: { name: "Ed25519" },
  rsa: {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    modulusLength: 3072,
    publicExponent: Uint8Array.of(1, 0, 1),
  },
} as const;

export type SigningAlgorithm = (typeof algorithms)[KeyKind];

export const newKeys = (kind: KeyKind): Promise<CryptoKeyPair> =>
  crypto.subtle.generateKey(algorithms[kind] as EcKeyGenParams, true, ["sign", "verify"]);

/** PEM, PKCS #8. */
export async function keyPem(key: CryptoKey): Promise<string> {
  return toPem("PRIVATE KEY", new Uint8Array(await crypto.subtle.exportKey("pkcs8", key)));
}

/** A key to sign with, and how. */
export interface SigningKey {
  readonly kind: KeyKind;
  readonly key: CryptoKey;
  readonly algorithm: SigningAlgorithm;
}

const kinds: Readonly<Record<string, KeyKind>> = {
  "1.2.840.10045.2.1": "ecdsa",
  "1.3.101.112": "ed25519",
  "1.2.840.113549.1.1.1": "rsa",
};

/** The kind of a PrivateKeyInfo (RFC 5208 §5). */
function kindOf(der: Uint8Array): KeyKind | undefined {
  const [, algorithm] = sequence(der) ?? [];
  const oid = objectIdentifier(sequence(only(algorithm?.raw, tag.sequence)?.raw)?.[0]);
  return kinds[oid ?? ""];
}

/** The DER in a PEM text of one block with this label. */
export function derOf(pem: string, label: string): Uint8Array {
  const pattern = new RegExp(`^\\s*-----BEGIN ${label}-----([A-Za-z0-9+/=\\s]+)-----END ${label}-----\\s*$`);
  const [, body] = pattern.exec(pem) ?? [];
  return Uint8Array.from(atob((body ?? "-").replace(/\s/g, "")), (c) => c.charCodeAt(0));
}

/**
 * A private key that this authority made, PEM (PKCS #8), for signing. Throws where it is none.
 *
 * @param passphrase of an encrypted one
 */
export async function importSigningKey(pem: string, passphrase?: string): Promise<SigningKey> {
  if (isEncrypted(pem) && passphrase === undefined)
    throw new Error("the private key is encrypted: expected its passphrase");
  try {
    const der = isEncrypted(pem)
      ? await decrypt(derOf(pem, "ENCRYPTED PRIVATE KEY"), passphrase ?? "")
      : derOf(pem, "PRIVATE KEY");
    const kind = kindOf(der);
    if (kind === undefined) throw new Error("of another kind");
    const algorithm = algorithms[kind];
    const key = await crypto.subtle.importKey("pkcs8", der as BufferSource, algorithm, false, ["sign"]);
    return { kind, key, algorithm };
  } catch {
    // Whatever the library says of a key that it could not read stays unsaid.
    throw new Error(
      isEncrypted(pem)
        ? "the private key can't be read: its passphrase is another one, or it is damaged"
        : "the private key can't be read: expected PEM, PKCS #8: ECDSA P-256, Ed25519 or RSA",
    );
  }
}
