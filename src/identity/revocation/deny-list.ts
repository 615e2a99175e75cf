import type { Certificate } from "../certificate.ts";

/** Certificates that are refused whatever their authority says: by serial number, or by a SHA-256. */
export interface DenyList {
  readonly serials: ReadonlySet<string>;
  /** Of a whole certificate or of its public key (SubjectPublicKeyInfo). */
  readonly hashes: ReadonlySet<string>;
}

export const nobody: DenyList = { serials: new Set(), hashes: new Set() };

/**
 * Reads one entry a line, hexadecimal with or without colons: 64 digits are a SHA-256, of the certificate or
 * of its public key, fewer are a serial number. Empty lines, and what follows a `#`, count for nothing.
 */
export function parseDenyList(text: string): DenyList | { readonly malformed: string } {
  const serials = new Set<string>();
  const hashes = new Set<string>();
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    const entry = line.replace(/#.*/, "").trim().toLowerCase().replaceAll(":", "");
    if (entry === "") continue;
    if (!/^[0-9a-f]{1,64}$/.test(entry)) {
      return {
        malformed: `line ${i + 1}: expected a serial number or a SHA-256, in hexadecimal`,
      };
    }
    if (entry.length === 64) hashes.add(entry);
    else serials.add(octets(entry));
  }
  return { serials, hashes };
}

/** As a certificate's serial number is written: whole octets, none of them a leading zero. */
function octets(digits: string): string {
  const bare = digits.replace(/^0+(?=.)/, "");
  return bare.length % 2 === 0 ? bare : `0${bare}`;
}

/** Which entry a certificate is denied by; `null` where it is by none. */
export async function deniedBy(list: DenyList, certificate: Certificate): Promise<string | null> {
  if (list.serials.has(certificate.serial)) return `serial number ${certificate.serial}`;
  if (list.hashes.size === 0) return null;
  for (const [what, bytes] of [
    ["certificate", certificate.raw],
    ["public key", certificate.spki],
  ] as const) {
    const hash = await sha256(bytes);
    if (list.hashes.has(hash)) return `SHA-256 of its ${what}, ${hash}`;
  }
  return null;
}

async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", bytes as BufferSource);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
