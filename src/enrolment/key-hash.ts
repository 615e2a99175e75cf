/** SHA-256 of a key (SubjectPublicKeyInfo), which binds an ID token to it as its nonce: base64url, no padding. */
export async function keyHash(publicKey: Uint8Array): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", publicKey as BufferSource));
  return btoa(String.fromCharCode(...digest))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}
