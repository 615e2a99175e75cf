import { p256Blob } from "../wire/ssh-certificate.ts";
import { derOf, keyPem, newKeys } from "./keys.ts";

/** A key on P-256 that SSH knows, to sign with. */
export interface SshSigningKey {
  readonly key: CryptoKey;
  /** Its public half (RFC 5656 §3.1). */
  readonly blob: Uint8Array;
}

const algorithm = { name: "ECDSA", namedCurve: "P-256" } as const;

/** PEM (PKCS #8) of a new one, which `ssh` and `ssh-keygen` read as it is. */
export const newSshKey = async (): Promise<string> => keyPem((await newKeys("ecdsa")).privateKey);

const octets = (base64url = ""): Uint8Array =>
  Uint8Array.from(atob(base64url.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));

/** @param pem PKCS #8, ECDSA on P-256; rejects where it is anything else */
export async function openSshKey(pem: string): Promise<SshSigningKey> {
  try {
    const der = derOf(pem, "PRIVATE KEY") as BufferSource;
    // Extractable, since that is the one way to its public half.
    const readable = await crypto.subtle.importKey("pkcs8", der, algorithm, true, ["sign"]);
    const { x, y } = await crypto.subtle.exportKey("jwk", readable);
    const key = await crypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]);
    return { key, blob: p256Blob(octets(x), octets(y)) };
  } catch {
    // Whatever the library says of a key that it could not read stays unsaid.
    throw new Error("the key can't be read: expected PEM, PKCS #8, ECDSA P-256, without a passphrase");
  }
}
