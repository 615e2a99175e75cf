import { EncryptJWT, type JWTPayload, jwtDecrypt } from "jose";

/** What is sealed: who has signed in, what a login under way needs, and where it comes back to. */
export type Sealed = "session" | "pending" | "state";

const alg = "dir";
const enc = "A256GCM";

/** Gives the secrets of a purpose: the first to seal with, all to open with. */
export type Secrets = (purpose: string, now: number) => Promise<readonly Uint8Array[]>;

/**
 * Words of ours that browsers keep for us, and nobody else can read, make or change: encrypted JWTs (RFC 7519, RFC 7516),
 * with a key of its own for each kind.
 */
export class Seals {
  readonly #secrets: Secrets;

  constructor(secrets: Secrets) {
    this.#secrets = secrets;
  }

  /**
   * @param audience where alone it is good
   * @param until Unix milliseconds
   */
  async seal(
    kind: Sealed,
    audience: string,
    claims: JWTPayload,
    now: number,
    until: number,
  ): Promise<string> {
    const [key] = await this.#keys(kind, now);
    if (key === undefined) throw new TypeError("there is always a key");
    return new EncryptJWT(claims)
      .setProtectedHeader({ alg, enc })
      .setAudience(audience)
      .setExpirationTime(Math.floor(until / 1000))
      .encrypt(key);
  }

  /** `null` for what is not ours, is for elsewhere, or past its end. */
  async open(kind: Sealed, audience: string, text: string, now: number): Promise<JWTPayload | null> {
    for (const key of await this.#keys(kind, now)) {
      try {
        const { payload } = await jwtDecrypt(text, key, {
          audience,
          keyManagementAlgorithms: [alg],
          contentEncryptionAlgorithms: [enc],
          requiredClaims: ["exp"],
          currentDate: new Date(now),
        });
        return payload;
      } catch {
        // Another key's, or nobody's.
      }
    }
    return null;
  }

  #keys(kind: Sealed, now: number): Promise<readonly Uint8Array[]> {
    return this.#secrets(`sign-in ${kind}`, now);
  }
}
