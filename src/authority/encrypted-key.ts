import { only, sequence, smallInteger, tag } from "../wire/der.ts";
import { derElement, derInteger, derNull, derOid } from "../wire/der-write.ts";
import { toPem } from "./pem.ts";

/**
 * Private keys under a passphrase: PKCS #8's EncryptedPrivateKeyInfo (RFC 5958 §3) with PBES2 (RFC 8018 §6.2),
 * PBKDF2 over HMAC-SHA-256 and AES-256-CBC, which openssl reads and writes too.
 */
const iterations = 600_000;
/** More would only be there to keep somebody waiting. */
const maxIterations = 10_000_000;

const pbes2 = derOid("1.2.840.113549.1.5.13");
const pbkdf2 = derOid("1.2.840.113549.1.5.12");
const hmacSha256 = derElement(tag.sequence, derOid("1.2.840.113549.2.9"), derNull);
const aes256Cbc = derOid("2.16.840.1.101.3.4.1.42");

export const isEncrypted = (pem: string): boolean => pem.includes("-----BEGIN ENCRYPTED PRIVATE KEY-----");

async function cipherKey(passphrase: string, salt: Uint8Array, rounds: number): Promise<CryptoKey> {
  const secret = new TextEncoder().encode(passphrase);
  const base = await crypto.subtle.importKey("raw", secret, "PBKDF2", false, ["deriveKey"]);
  const how = { name: "PBKDF2", salt: salt as BufferSource, iterations: rounds, hash: "SHA-256" };
  return crypto.subtle.deriveKey(how, base, { name: "AES-CBC", length: 256 }, false, ["encrypt", "decrypt"]);
}

const algorithmOf = (salt: Uint8Array, rounds: number, iv: Uint8Array): Uint8Array =>
  derElement(
    tag.sequence,
    pbes2,
    derElement(
      tag.sequence,
      derElement(
        tag.sequence,
        pbkdf2,
        derElement(tag.sequence, derElement(tag.octetString, salt), derInteger(rounds), hmacSha256),
      ),
      derElement(tag.sequence, aes256Cbc, derElement(tag.octetString, iv)),
    ),
  );

/** PEM of a PKCS #8 key (DER) under a passphrase. */
export async function encryptedKeyPem(der: Uint8Array, passphrase: string): Promise<string> {
  const salt = crypto.getRandomValues(new Uint8Array(16));
  const iv = crypto.getRandomValues(new Uint8Array(16));
  const key = await cipherKey(passphrase, salt, iterations);
  const sealed = await crypto.subtle.encrypt({ name: "AES-CBC", iv }, key, der as BufferSource);
  const contents = derElement(tag.octetString, new Uint8Array(sealed));
  return toPem(
    "ENCRYPTED PRIVATE KEY",
    derElement(tag.sequence, algorithmOf(salt, iterations, iv), contents),
  );
}

/** The PKCS #8 key (DER) in an EncryptedPrivateKeyInfo. Rejects where it is another's, or damaged. */
export async function decrypt(der: Uint8Array, passphrase: string): Promise<Uint8Array> {
  const [algorithm, sealed] = sequence(der) ?? [];
  const [, parameters] = sequence(algorithm?.raw) ?? [];
  const [derivation, cipher] = sequence(parameters?.raw) ?? [];
  const [, derivationParameters] = sequence(derivation?.raw) ?? [];
  const [salt, rounds] = sequence(derivationParameters?.raw) ?? [];
  const iv = only(sequence(cipher?.raw)?.[1]?.raw, tag.octetString)?.value;
  const count = smallInteger(rounds) ?? 0;
  if (salt === undefined || iv === undefined || sealed === undefined || count < 1 || count > maxIterations)
    throw new Error("an encryption that is not known");
  // What it is not in every detail as it is written here is not read: one way is enough.
  const expected = algorithmOf(salt.value, count, iv);
  if (algorithm?.raw.length !== expected.length || !expected.every((octet, i) => octet === algorithm.raw[i]))
    throw new Error("an encryption that is not known");
  const key = await cipherKey(passphrase, salt.value, count);
  const opened = await crypto.subtle.decrypt(
    { name: "AES-CBC", iv: iv as BufferSource },
    key,
    sealed.value as BufferSource,
  );
  return new Uint8Array(opened);
}
