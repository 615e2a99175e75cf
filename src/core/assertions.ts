import { SignJWT } from "jose/jwt/sign";
import { type AssertionKeys, assertionMs, type KeySet } from "../identity/assertion-key.ts";
import type { Identity } from "../identity/identity.ts";
import { LruMap } from "./lru-map.ts";

/** How long an assertion is handed out again. */
const reuseMs = 10_000;

/** Assertions that are remembered. */
const maxKept = 4096;

/** Signed words on who a client is, for one upstream: a JWT (RFC 7519), kept for some seconds. */
export class Assertions {
  #kept = new LruMap<string, { readonly token: Promise<string>; readonly at: number }>(maxKept);
  #keys: Pick<AssertionKeys, "signing" | "published">;
  #issuer: string;

  /** @param issuer `iss`, a URL */
  constructor(keys: Pick<AssertionKeys, "signing" | "published">, issuer: string) {
    this.#keys = keys;
    this.#issuer = issuer;
  }

  /** From here on it signs with these, for connections that are open too: those before are published no longer. */
  replace(keys: Pick<AssertionKeys, "signing" | "published">, issuer: string): void {
    if (keys === this.#keys && issuer === this.#issuer) return;
    this.#keys = keys;
    this.#issuer = issuer;
    this.#kept = new LruMap(maxKept);
  }

  /** What its assertions are checked by, public halves alone. */
  published(now: number): Promise<KeySet> {
    return this.#keys.published(now);
  }

  /**
   * The assertion, or `null` where the certificate or the login is past its end, or within its last second.
   *
   * @param audience origins of the upstream's servers
   * @param now Unix milliseconds
   */
  async about(identity: Identity, audience: readonly string[], now: number): Promise<string | null> {
    const seconds = Math.floor(now / 1000);
    const end = Math.min(seconds + assertionMs / 1000, Math.floor(Date.parse(identity.expires) / 1000));
    // A date that can't be read is not later than anything.
    if (!(end > seconds)) return null;
    const { subject, spiffe, groups, fingerprint, expires } = identity;
    // Without a certificate, all that the assertion says.
    const who = fingerprint ?? JSON.stringify([subject, spiffe, groups, expires]);
    const key = `${who} ${audience.join(" ")}`;
    const kept = this.#kept.get(key);
    if (kept !== undefined && now >= kept.at && now - kept.at < reuseMs) return kept.token;
    const token = this.#sign(identity, audience, seconds, end, now);
    this.#kept.set(key, { token, at: now });
    try {
      return await token;
    } catch (error) {
      this.#kept.delete(key);
      throw error;
    }
  }

  async #sign(
    { subject, spiffe, groups, serial, fingerprint, expires }: Identity,
    audience: readonly string[],
    from: number,
    until: number,
    now: number,
  ): Promise<string> {
    const { key, alg, jwk } = await this.#keys.signing(now);
    const [only = ""] = audience;
    return new SignJWT({ subject, spiffe, groups, serial, fingerprint, expires })
      .setProtectedHeader({ alg, kid: jwk.kid ?? "", typ: "JWT" })
      .setIssuer(this.#issuer)
      .setAudience(audience.length > 1 ? [...audience] : only)
      .setSubject(spiffe ?? subject)
      .setIssuedAt(from)
      .setExpirationTime(until)
      .setJti(crypto.randomUUID())
      .sign(key);
  }
}
