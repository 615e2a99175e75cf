import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";

/** A provider that signs whatever a test wants, with its keys where discovery says. */
export class TokenIssuer {
  readonly #server = createServer((request, response) => {
    this.asked.push(request.url ?? "");
    const body = this.documents[request.url ?? ""];
    if (body === undefined) return void response.writeHead(404).end();
    if (typeof body === "number") return void response.writeHead(body, { location: "/elsewhere" }).end();
    response.setHeader("content-type", "application/json");
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  });
  /** Paths, in the order in which they were asked for. */
  readonly asked: string[] = [];
  /** What is answered, by path; a number is a status. */
  documents: Record<string, object | string | number> = {};
  issuer = "";
  #private: CryptoKey | undefined;
  #kid = "";
  #keys: JWK[] = [];

  static async start(): Promise<TokenIssuer> {
    const one = new TokenIssuer();
    await new Promise<void>((resolve) => one.#server.listen(0, "127.0.0.1", resolve));
    one.issuer = `http://127.0.0.1:${(one.#server.address() as AddressInfo).port}`;
    one.documents["/.well-known/openid-configuration"] = {
      issuer: one.issuer,
      jwks_uri: `${one.issuer}/keys`,
    };
    await one.rotate();
    return one;
  }

  /** A new key, beside the old ones or instead of them. */
  async rotate(keepOld = false): Promise<void> {
    const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
    this.#private = privateKey;
    this.#kid = crypto.randomUUID();
    const jwk = { ...(await exportJWK(publicKey)), kid: this.#kid, alg: "ES256", use: "sig" };
    this.#keys = keepOld ? [...this.#keys, jwk] : [jwk];
    this.documents["/keys"] = { keys: this.#keys };
  }

  get publicJwk(): JWK {
    return this.#keys.at(-1) ?? {};
  }

  /** A good token but for what is changed; a claim that is `undefined` is left out. */
  token(
    claims: Readonly<Record<string, unknown>> = {},
    header: Readonly<Record<string, unknown>> = {},
  ): Promise<string> {
    if (this.#private === undefined) throw new Error("not started");
    const now = Math.floor(Date.now() / 1000);
    const payload = {
      iss: this.issuer,
      aud: "sallyport",
      sub: "user-1",
      iat: now,
      exp: now + 300,
      email: "alice@example.com",
      email_verified: true,
      ...claims,
    };
    const present = Object.fromEntries(Object.entries(payload).filter(([, value]) => value !== undefined));
    return new SignJWT(present)
      .setProtectedHeader({ alg: "ES256", kid: this.#kid, ...header })
      .sign(this.#private);
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

const encoded = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

/** The same claims under another header, with a signature of one's own making. */
export const forged = (token: string, header: object, signature: (input: string) => string): string => {
  const input = `${encoded(header)}.${token.split(".")[1]}`;
  return `${input}.${signature(input)}`;
};
