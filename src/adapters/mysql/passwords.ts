/** The ways to prove a password without saying it, as far as WebCrypto has what they are made of. */

const bytesOf = (password: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(password);

const hash =
  (name: "SHA-1" | "SHA-256") =>
  async (...parts: readonly Uint8Array[]): Promise<Uint8Array> => {
    const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
    let at = 0;
    for (const part of parts) {
      whole.set(part, at);
      at += part.length;
    }
    return new Uint8Array(await crypto.subtle.digest(name, whole));
  };
const sha1 = hash("SHA-1");
const sha256 = hash("SHA-256");

const xor = (a: Uint8Array, b: Uint8Array): Uint8Array => a.map((byte, i) => byte ^ (b[i] ?? 0));

/** An Ed25519 private key in PKCS #8 (RFC 8410 §7), up to its seed. */
const ed25519Prefix = Uint8Array.of(48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32);
const seedBytes = 32;

const proofs: Readonly<
  Record<string, (password: string, challenge: Uint8Array) => Promise<Uint8Array | null>>
> = {
  async mysql_native_password(password, challenge) {
    const once = await sha1(bytesOf(password));
    return xor(once, await sha1(challenge, await sha1(once)));
  },

  async caching_sha2_password(password, challenge) {
    const once = await sha256(bytesOf(password));
    return xor(once, await sha256(await sha256(once), challenge));
  },

  // MariaDB takes the password for the seed, however long it is; RFC 8032 has seeds of 32 bytes.
  async client_ed25519(password, challenge) {
    const seed = bytesOf(password);
    if (seed.length !== seedBytes) return null;
    const encoded = new Uint8Array([...ed25519Prefix, ...seed]);
    const key = await crypto.subtle.importKey("pkcs8", encoded, "Ed25519", false, ["sign"]);
    return new Uint8Array(await crypto.subtle.sign("Ed25519", key, challenge.slice()));
  },
};

/** Plugins whose answer is the password itself, with a zero behind it. */
export const saysPassword: ReadonlySet<string> = new Set([
  "mysql_clear_password",
  "sha256_password",
  "dialog",
]);

/** The password itself, as those plugins send it. */
export const asItStands = (password: string): Uint8Array => bytesOf(`${password}\0`);

/** Whether a password can be proved this way at all. */
export const provable = (plugin: string): boolean => Object.hasOwn(proofs, plugin);

/** The proof; `null` where it can't be made with this password. Nothing is proved by no password. */
export async function proof(
  plugin: string,
  password: string,
  challenge: Uint8Array,
): Promise<Uint8Array | null> {
  if (password === "") return new Uint8Array(0);
  return (await proofs[plugin]?.(password, challenge)) ?? null;
}
