/** TLS 1.3 secrets with SHA-256 (RFC 8446 §7.1), by WebCrypto; for the impostor of the self-test only. */

const encoder = new TextEncoder();
const hashBytes = 32;

export const concat = (...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> => {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
};

export const sha256 = async (bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> =>
  new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));

export async function hmac(
  key: Uint8Array<ArrayBuffer>,
  data: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  const imported = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, [
    "sign",
  ]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", imported, data));
}

export const zeroes = new Uint8Array(hashBytes);

/** HKDF-Extract (RFC 5869 §2.2). */
export const extract = hmac;

/** HKDF-Expand-Label, for outputs of one block. */
export async function expandLabel(
  secret: Uint8Array<ArrayBuffer>,
  label: string,
  context: Uint8Array,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const name = encoder.encode(`tls13 ${label}`);
  const info = concat(
    Uint8Array.of(0, length, name.length),
    name,
    Uint8Array.of(context.length),
    context,
    Uint8Array.of(1),
  );
  return (await hmac(secret, info)).slice(0, length);
}

/** Derive-Secret over a transcript's messages. */
export const derive = async (
  secret: Uint8Array<ArrayBuffer>,
  label: string,
  transcript: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> => expandLabel(secret, label, await sha256(transcript), hashBytes);

/** One direction's AES-128-GCM record protection (RFC 8446 §5.2). */
export class RecordKey {
  readonly #key: CryptoKey;
  readonly #iv: Uint8Array;
  #sequence = 0;

  private constructor(key: CryptoKey, iv: Uint8Array) {
    this.#key = key;
    this.#iv = iv;
  }

  static async from(secret: Uint8Array<ArrayBuffer>): Promise<RecordKey> {
    const none = new Uint8Array(0);
    const raw = await expandLabel(secret, "key", none, 16);
    const key = await crypto.subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt", "decrypt"]);
    return new RecordKey(key, await expandLabel(secret, "iv", none, 12));
  }

  #nonce(): Uint8Array<ArrayBuffer> {
    const nonce = Uint8Array.from(this.#iv);
    const last = new DataView(nonce.buffer, 8);
    // Nobody sends as many records here as would need the upper half of the sequence number.
    last.setUint32(0, last.getUint32(0) ^ this.#sequence++);
    return nonce;
  }

  async seal(type: number, content: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
    const inner = concat(content, Uint8Array.of(type));
    const length = inner.length + 16;
    const header = Uint8Array.of(23, 3, 3, length >> 8, length & 0xff);
    const algorithm = { name: "AES-GCM", iv: this.#nonce(), additionalData: header };
    return concat(header, new Uint8Array(await crypto.subtle.encrypt(algorithm, this.#key, inner)));
  }

  async open(
    header: Uint8Array<ArrayBuffer>,
    body: Uint8Array<ArrayBuffer>,
  ): Promise<{ type: number; content: Uint8Array<ArrayBuffer> }> {
    const algorithm = { name: "AES-GCM", iv: this.#nonce(), additionalData: header };
    const inner = new Uint8Array(await crypto.subtle.decrypt(algorithm, this.#key, body));
    let end = inner.length - 1;
    while (end > 0 && inner[end] === 0) end--;
    return { type: inner[end] ?? 0, content: inner.slice(0, end) };
  }
}
