/** Bytes of an AES-GCM nonce (NIST SP 800-38D §8.2.2): of chance, for some 2^32 messages by one key. */
const nonceBytes = 12;
/** Bytes of a name's hash that are kept. */
const nameBytes = 16;

const text = new TextEncoder();
const utf8 = new TextDecoder("utf-8", { fatal: true });

const base64 = (bytes: Uint8Array): string => {
  let binary = "";
  for (let i = 0; i < bytes.length; i += 8192) binary += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(binary);
};

/**
 * What routers that know one secret say to each other by way of somebody who knows it not: nobody else reads it, nor
 * says anything in their name (AES-256-GCM). Names are keyed hashes (HMAC-SHA-256).
 */
export class Seal {
  readonly #cipher: CryptoKey;
  readonly #names: CryptoKey;
  /** Of all that know the secret: whoever has another one never meets them. */
  readonly realm: string;

  private constructor(cipher: CryptoKey, names: CryptoKey, realm: string) {
    this.#cipher = cipher;
    this.#names = names;
    this.realm = realm;
  }

  /** Keys by HKDF (RFC 5869) from 256 secret bits. */
  static async of(secret: Uint8Array): Promise<Seal> {
    const material = await crypto.subtle.importKey("raw", secret as BufferSource, "HKDF", false, [
      "deriveBits",
    ]);
    const derive = async (purpose: string): Promise<ArrayBuffer> =>
      crypto.subtle.deriveBits(
        {
          name: "HKDF",
          hash: "SHA-256",
          salt: new Uint8Array(32),
          info: text.encode(`sallyport ${purpose}`),
        },
        material,
        256,
      );
    const cipher = await crypto.subtle.importKey("raw", await derive("state seal"), "AES-GCM", false, [
      "encrypt",
      "decrypt",
    ]);
    const hmac = { name: "HMAC", hash: "SHA-256" };
    const names = await crypto.subtle.importKey("raw", await derive("state names"), hmac, false, ["sign"]);
    const realm = new Uint8Array(await derive("state realm")).slice(0, 8);
    return new Seal(cipher, names, [...realm].map((byte) => byte.toString(16).padStart(2, "0")).join(""));
  }

  /** What a name is called outside. */
  async name(of: string): Promise<string> {
    const hash = await crypto.subtle.sign("HMAC", this.#names, text.encode(of));
    return base64(new Uint8Array(hash).subarray(0, nameBytes));
  }

  /** @param about where it stands: it means nothing anywhere else */
  async seal(about: string, value: unknown): Promise<string> {
    const nonce = crypto.getRandomValues(new Uint8Array(nonceBytes));
    const how = { name: "AES-GCM", iv: nonce, additionalData: text.encode(about) };
    const sealed = new Uint8Array(
      await crypto.subtle.encrypt(how, this.#cipher, text.encode(JSON.stringify(value))),
    );
    const whole = new Uint8Array(nonceBytes + sealed.length);
    whole.set(nonce);
    whole.set(sealed, nonceBytes);
    return base64(whole);
  }

  /** `undefined` where it is not of those who know the secret, or was said about something else. */
  async open(about: string, sealed: string): Promise<unknown> {
    try {
      const whole = Uint8Array.from(atob(sealed), (char) => char.charCodeAt(0));
      const iv = whole.subarray(0, nonceBytes);
      const how = { name: "AES-GCM", iv, additionalData: text.encode(about) };
      const plain = await crypto.subtle.decrypt(how, this.#cipher, whole.subarray(nonceBytes));
      return JSON.parse(utf8.decode(plain));
    } catch {
      return undefined;
    }
  }
}
