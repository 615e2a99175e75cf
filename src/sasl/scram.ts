/**
 * SCRAM-SHA-256 (RFC 5802, RFC 7677), the client's side, without channel binding. The cryptography is WebCrypto's.
 */

const encoder = new TextEncoder();

const base64 = (bytes: Uint8Array): string => btoa(String.fromCharCode(...bytes));

function fromBase64(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 !== 0) return null;
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

/** More would keep us busy for a server that means harm; the usual is 4096 to 600,000. */
const maxIterations = 1_000_000;
/** A message of the server's; real ones have some hundred bytes. */
const maxMessage = 4096;

/** The server did not keep to the exchange, or does not know the password. */
export class ScramError extends Error {}

/**
 * The password as both sides write it (RFC 4013): other spaces as spaces, what is mapped to nothing left out, NFKC. One
 * that may not be so written stands as it is, as servers have it.
 */
export function saslPrepared(password: string): string {
  if (/^[\x20-\x7e]*$/.test(password)) return password;
  const mapped = password
    .replace(/[\u00a0\u1680\u2000-\u200b\u202f\u205f\u3000]/g, " ")
    .replace(/\u034f|\u200d|[\u180b-\u180d]|[\ufe00-\ufe0f]|[\u00ad\u1806\u200c\u2060\ufeff]/g, "")
    .normalize("NFKC");
  const prohibited =
    /\u0340|\u0341|[\p{Cc}\p{Cs}\p{Co}\p{Cn}\u06dd\u070f\u180e\u200e\u200f\u2028-\u202e\u2060-\u206f\u2ff0-\u2ffb\ufff9-\uffff\u{e0001}-\u{e007f}]/u;
  return mapped === "" || prohibited.test(mapped) ? password : mapped;
}

const hmacKey = (key: Uint8Array<ArrayBuffer>): Promise<CryptoKey> =>
  crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign", "verify"]);

const hmac = async (key: Uint8Array<ArrayBuffer>, message: string): Promise<Uint8Array<ArrayBuffer>> =>
  new Uint8Array(await crypto.subtle.sign("HMAC", await hmacKey(key), encoder.encode(message)));

/** `a=…,b=…` in exactly this order, each once; extensions behind them are left alone. */
function attributes(message: string, names: string): string[] | null {
  if (message.length > maxMessage) return null;
  const parts = message.split(",");
  const values = [...names].map((name, i) =>
    parts[i]?.startsWith(`${name}=`) === true ? parts[i].slice(2) : null,
  );
  return values.every((value) => value !== null) ? values : null;
}

/** One exchange. */
export class ScramClient {
  readonly #password: string;
  readonly #bare: string;
  readonly #nonce: string;
  #expected: { readonly key: Uint8Array<ArrayBuffer>; readonly message: string } | null = null;
  #proven = false;

  /**
   * @param user empty where the protocol around it has said it
   * @param nonce another for each exchange; given by tests alone
   */
  constructor(
    user: string,
    password: string,
    nonce: string = base64(crypto.getRandomValues(new Uint8Array(24))),
  ) {
    this.#password = saslPrepared(password);
    this.#nonce = nonce;
    this.#bare = `n=${user.replaceAll("=", "=3D").replaceAll(",", "=2C")},r=${nonce}`;
  }

  /** Whether the server has shown that it knows the password too. */
  get proven(): boolean {
    return this.#proven;
  }

  first(): string {
    return `n,,${this.#bare}`;
  }

  /** Answers the server's first message. Throws a `ScramError`. */
  async final(serverFirst: string): Promise<string> {
    const [nonce = "", saltText = "", count = ""] = attributes(serverFirst, "rsi") ?? [];
    const salt = fromBase64(saltText);
    const iterations = /^[1-9]\d{0,9}$/.test(count) ? Number(count) : 0;
    if (this.#expected !== null || salt === null || salt.length === 0)
      throw new ScramError("its first message is none of SCRAM's");
    if (!nonce.startsWith(this.#nonce) || nonce.length <= this.#nonce.length)
      throw new ScramError("it does not answer our message");
    if (iterations < 1 || iterations > maxIterations)
      throw new ScramError(`it asks for ${count} iterations: expected 1 to ${maxIterations}`);
    const secret = await crypto.subtle.importKey("raw", encoder.encode(this.#password), "PBKDF2", false, [
      "deriveBits",
    ]);
    const salted = new Uint8Array(
      await crypto.subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt, iterations }, secret, 256),
    );
    const clientKey = await hmac(salted, "Client Key");
    const storedKey = new Uint8Array(await crypto.subtle.digest("SHA-256", clientKey));
    const withoutProof = `c=biws,r=${nonce}`;
    const message = `${this.#bare},${serverFirst},${withoutProof}`;
    const signature = await hmac(storedKey, message);
    const proof = clientKey.map((byte, i) => byte ^ (signature[i] ?? 0));
    this.#expected = { key: await hmac(salted, "Server Key"), message };
    return `${withoutProof},p=${base64(proof)}`;
  }

  /** Holds the server's last message against what only somebody who knows the password can say. Throws a `ScramError`. */
  async verify(serverFinal: string): Promise<void> {
    const [signature] = attributes(serverFinal, "v") ?? [];
    const bytes = signature === undefined ? null : fromBase64(signature);
    const good =
      bytes !== null &&
      this.#expected !== null &&
      (await crypto.subtle.verify(
        "HMAC",
        await hmacKey(this.#expected.key),
        bytes,
        encoder.encode(this.#expected.message),
      ));
    if (!good) throw new ScramError("it did not prove that it knows the password");
    this.#proven = true;
  }
}
