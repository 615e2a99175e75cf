import { Cursor } from "./cursor.ts";
import { joined } from "./joined.ts";
import { sshMpint, sshString, sshUint32, sshUint64 } from "./ssh-data.ts";
import type { SshPublicKey } from "./ssh-public-key.ts";

/**
 * OpenSSH's certificates (PROTOCOL.certkeys): a public key with a type of its own, a nonce before its fields, and
 * behind them what the authority says of its holder, and the authority's signature.
 */
export interface SshCertificateContents {
  readonly key: SshPublicKey;
  readonly kind: "user" | "host";
  /** 32 random bytes, so that nobody knows before what will be signed. */
  readonly nonce: Uint8Array;
  readonly serial: bigint;
  /** What the server's log says of its holder. */
  readonly keyId: string;
  /** Users to log in as, or host names. None would be all of them. */
  readonly principals: readonly [string, ...string[]];
  /** Seconds since 1970; it is good from then on, and before the other. */
  readonly validAfter: number;
  readonly validBefore: number;
  /** What whoever does not know one has to refuse, by name. */
  readonly criticalOptions: Readonly<Record<string, string>>;
  /** What its holder may; a flag each. */
  readonly extensions: readonly string[];
}

const kinds = { user: 1, host: 2 } as const;
const p256 = "ecdsa-sha2-nistp256";

/** `ssh-ed25519` is `ssh-ed25519-cert-v01@openssh.com`; what is OpenSSH's own already has its ending once. */
export const sshCertificateType = (keyType: string): string =>
  `${keyType.replace(/@openssh\.com$/, "")}-cert-v01@openssh.com`;

/** The blob of a public key on P-256 (RFC 5656 §3.1). */
export const p256Blob = (x: Uint8Array, y: Uint8Array): Uint8Array =>
  joined([sshString(p256), sshString("nistp256"), sshString(joined([Uint8Array.of(4), x, y]))]);

/** A public key's line, as `.pub` files and `TrustedUserCAKeys` have it. */
export function sshLine(type: string, blob: Uint8Array, comment: string): string {
  let binary = "";
  for (const byte of blob) binary += String.fromCharCode(byte);
  return `${type} ${btoa(binary)} ${comment}`;
}

export const p256Line = (blob: Uint8Array, comment: string): string => sshLine(p256, blob, comment);

/** Names in ascending order, each once, as the format asks. */
const sorted = (names: readonly string[]): string[] => [...new Set(names)].sort();

/** All but the signature. */
export function sshCertificateToSign(contents: SshCertificateContents, authority: Uint8Array): Uint8Array {
  const { key, criticalOptions, extensions } = contents;
  const options = sorted(Object.keys(criticalOptions)).flatMap((name) => [
    sshString(name),
    // The data of an option is a string inside a string.
    sshString(sshString(criticalOptions[name] ?? "")),
  ]);
  const flags = sorted(extensions).flatMap((name) => [sshString(name), sshString("")]);
  return joined([
    sshString(sshCertificateType(key.type)),
    sshString(contents.nonce),
    key.fields,
    sshUint64(contents.serial),
    sshUint32(kinds[contents.kind]),
    sshString(contents.keyId),
    sshString(joined(contents.principals.map(sshString))),
    sshUint64(BigInt(contents.validAfter)),
    sshUint64(BigInt(contents.validBefore)),
    sshString(joined(options)),
    sshString(joined(flags)),
    sshString(""),
    sshString(authority),
  ]);
}

/** With the authority's signature: r and s on P-256, 32 bytes each (RFC 5656 §3.1.2). */
export function signedSshCertificate(toSign: Uint8Array, signature: Uint8Array): Uint8Array {
  const numbers = joined([sshMpint(signature.subarray(0, 32)), sshMpint(signature.subarray(32))]);
  return joined([toSign, sshString(joined([sshString(p256), sshString(numbers)]))]);
}

/** Whether it is the line of a certificate for that key. */
export function isSshCertificateFor(line: string, { type, fields }: SshPublicKey): boolean {
  const [, named, base64 = ""] = /^(\S+) ([A-Za-z0-9+/]+={0,2})(?: [^\p{Cc}]*)?$/u.exec(line) ?? [];
  if (named !== sshCertificateType(type) || base64.length % 4 !== 0) return false;
  const cursor = new Cursor(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
  const inside = new TextDecoder().decode(cursor.bytes(cursor.u32() ?? 0));
  cursor.skip(cursor.u32() ?? 0);
  const key = cursor.bytes(fields.length);
  return inside === named && key !== undefined && key.every((byte, i) => byte === fields[i]);
}
