import * as base64url from "jose/base64url";

/** 256 bits of chance, as text. */
export const newSecret = (): string => base64url.encode(crypto.getRandomValues(new Uint8Array(32)));

export const secretBytes = (secret: string): Uint8Array => base64url.decode(secret);

/** In the same time wherever they differ. */
export function sameSecret(a: string, b: string): boolean {
  let differ = a.length ^ b.length;
  for (let i = 0; i < a.length; i++) differ |= a.charCodeAt(i) ^ b.charCodeAt(i);
  return differ === 0;
}
