import { createRemoteJWKSet, customFetch, type JWTVerifyGetKey } from "jose";
import { fetchJson } from "./bounded-fetch.ts";
import { EnrolmentRefusal } from "./refusal.ts";
import { isSecureUrl } from "./secure-url.ts";

/** How long what was found is believed, and how long a provider that failed is left alone. */
export interface KeyAges {
  readonly discoveryMs: number;
  readonly failureMs: number;
  /** Between two fetches of the keys for one that is not among them. */
  readonly cooldownMs: number;
}

export const keyAges: KeyAges = { discoveryMs: 3_600_000, failureMs: 10_000, cooldownMs: 30_000 };

/** The keys' address, by discovery (OpenID Connect Discovery 1.0 §4). */
async function discover(issuer: string): Promise<string> {
  const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const found = (await fetchJson(url)) as { readonly issuer?: unknown; readonly jwks_uri?: unknown } | null;
  const wrong = (what: string): EnrolmentRefusal =>
    new EnrolmentRefusal("upstream_unreachable", `the provider's ${url} ${what}`, 60);
  // §4.3: otherwise one provider could speak for another.
  if (found?.issuer !== issuer) throw wrong("is for another issuer");
  if (!isSecureUrl(found.jwks_uri)) throw wrong("has no jwks_uri over https");
  return found.jwks_uri;
}

/** One provider's signing keys: found, kept, and fetched again when they are old or a new one is used. */
export class ProviderKeys {
  readonly #issuer: string;
  readonly #ages: KeyAges;
  #found: { readonly uri: string; readonly keys: JWTVerifyGetKey; readonly at: number } | undefined;
  #failed: { readonly error: unknown; readonly at: number } | undefined;
  #pending: Promise<JWTVerifyGetKey> | undefined;

  constructor(issuer: string, ages: KeyAges = keyAges) {
    this.#issuer = issuer;
    this.#ages = ages;
  }

  /** Throws an `EnrolmentRefusal` where the provider can't be asked. */
  async get(now: number): Promise<JWTVerifyGetKey> {
    if (this.#found !== undefined && now - this.#found.at < this.#ages.discoveryMs) return this.#found.keys;
    if (this.#failed !== undefined && now - this.#failed.at < this.#ages.failureMs) {
      if (this.#found !== undefined) return this.#found.keys;
      throw this.#failed.error;
    }
    this.#pending ??= this.#refresh(now).finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  async #refresh(now: number): Promise<JWTVerifyGetKey> {
    try {
      const uri = await discover(this.#issuer);
      const keys = this.#found?.uri === uri ? this.#found.keys : this.#keySet(uri);
      this.#found = { uri, keys, at: now };
      this.#failed = undefined;
      return keys;
    } catch (error) {
      this.#failed = { error, at: now };
      // What it said before still holds: keys are fetched from there with their own bounds.
      if (this.#found !== undefined) return this.#found.keys;
      throw error;
    }
  }

  #keySet(uri: string): JWTVerifyGetKey {
    return createRemoteJWKSet(new URL(uri), {
      cooldownDuration: this.#ages.cooldownMs,
      [customFetch]: async (url) => Response.json(await fetchJson(url)),
    });
  }
}
