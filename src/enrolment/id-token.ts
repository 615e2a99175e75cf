import { decodeJwt, errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from "jose";
import type { Person } from "../authority/subject.ts";
import { personFrom } from "./claims.ts";
import type { Grant } from "./grant.ts";
import type { Provider } from "./provider.ts";
import { type KeyAges, ProviderKeys } from "./provider-keys.ts";
import { EnrolmentRefusal } from "./refusal.ts";

/** Signatures by a provider's private key alone: with `HS256` its public key would do, and with `none` nothing. */
const algorithms = [
  ...["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
  ...["ES256", "ES384", "ES512", "EdDSA", "Ed25519"],
];
const maxLength = 16 * 1024;
/** Of clocks that don't agree. */
const toleranceSeconds = 30;

/** Who somebody is who logged in at a provider in a browser. */
export interface LoggedIn {
  readonly person: Person;
  /** The provider's name and its subject: the same for the same holder. */
  readonly voucher: string;
  /** When the token does, Unix milliseconds. */
  readonly expires: number;
}

export interface Vouched extends Grant {
  /** The provider's name and its subject: the same for the same holder. */
  readonly voucher: string;
}

const invalid = (detail: string): EnrolmentRefusal =>
  new EnrolmentRefusal("token_invalid", `id_token: ${detail}`);

function issuerOf(token: string): string {
  if (token.length > maxLength) throw invalid(`is longer than ${maxLength} characters`);
  try {
    const { iss } = decodeJwt(token);
    if (typeof iss === "string") return iss;
  } catch {
    // It can't be read.
  }
  throw invalid("is no JWT with an issuer");
}

/** What jose says, as a reason and words that hold nothing of the token. */
function asRefusal(error: unknown): EnrolmentRefusal {
  if (error instanceof EnrolmentRefusal) return error;
  if (error instanceof errors.JWTExpired)
    return new EnrolmentRefusal("token_expired", "id_token: is too old");
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim } = error;
    if (claim === "nbf" || claim === "iat")
      return new EnrolmentRefusal(
        "token_expired",
        `id_token: is from the future, or says no time (${claim})`,
      );
    return invalid(`its ${claim} is missing, or not what is expected`);
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return invalid("its signature algorithm is not accepted");
  if (error instanceof errors.JWKSNoMatchingKey)
    return invalid("is signed by a key that its issuer does not have");
  if (error instanceof errors.JWKSTimeout)
    return new EnrolmentRefusal("upstream_unreachable", "the provider does not answer", 10);
  return invalid("its signature can't be verified");
}

/** OpenID Connect Core 1.0 §3.1.3.7 (3–5): for us, and for nobody whom we don't know. */
function checkAudience(provider: Provider, { aud, azp }: JWTPayload): void {
  const audiences = Array.isArray(aud) ? aud : [aud];
  if (!audiences.every((one) => one !== undefined && provider.audiences.includes(one)))
    throw invalid("its audience names others too");
  if (azp === undefined ? audiences.length > 1 : !provider.audiences.includes(String(azp)))
    throw invalid("its authorized party (azp) is missing, or somebody else");
}

/** A nonce that is the hash of the key makes a token that was stolen on its way worthless. */
function checkNonce({ nonce: rule }: Provider, { nonce }: JWTPayload, keyHash: string): void {
  if (rule === "any" || nonce === keyHash || (nonce === undefined && rule === "bound")) return;
  throw invalid("its nonce is not the SHA-256 of the key in the request");
}

/** What a token of this provider says, once it is the provider's, for us and in time. */
async function judge(
  token: string,
  getKey: JWTVerifyGetKey,
  provider: Provider,
  now: number,
): Promise<JWTPayload> {
  const { payload, protectedHeader } = await jwtVerify(token, getKey, {
    algorithms,
    issuer: provider.issuer,
    audience: [...provider.audiences],
    requiredClaims: ["sub", "iat", "exp"],
    maxTokenAge: provider.maxAgeMs / 1000,
    clockTolerance: toleranceSeconds,
    currentDate: new Date(now),
  });
  // Access tokens and others are typed, and say nothing of who is here (RFC 9068 §2.1, RFC 8725 §3.11).
  if (protectedHeader.typ !== undefined && protectedHeader.typ.toUpperCase() !== "JWT")
    throw invalid("is a JWT of another type");
  if (typeof payload.sub !== "string" || !/^[\x20-\x7e]{1,255}$/.test(payload.sub))
    throw invalid("its sub is missing, or no subject");
  checkAudience(provider, payload);
  return payload;
}

/** Judges ID tokens of the configured providers. */
export class IdTokens {
  readonly #providers: readonly Provider[];
  readonly #keys: ReadonlyMap<string, ProviderKeys>;

  constructor(providers: readonly Provider[], ages?: KeyAges) {
    this.#providers = providers;
    this.#keys = new Map(providers.map(({ issuer }) => [issuer, new ProviderKeys(issuer, ages)]));
  }

  /**
   * Who a token's holder is. Several providers may have one issuer, with other rules: the first that admits counts.
   *
   * @param keyHash base64url of the SHA-256 of the key that is to be certified
   * @throws EnrolmentRefusal
   */
  async verify(token: string, keyHash: string, now: number): Promise<Vouched> {
    const issuer = issuerOf(token);
    const candidates = this.#providers.filter((provider) => provider.issuer === issuer);
    const getKey = await this.#keysOf(issuer, now);
    let last: EnrolmentRefusal | undefined;
    for (const provider of candidates) {
      try {
        const payload = await judge(token, getKey, provider, now);
        checkNonce(provider, payload, keyHash);
        return {
          person: personFrom(provider, payload),
          lifetimeMs: provider.lifetimeMs,
          renewableUntil: now + provider.renewalSpanMs,
          voucher: `${provider.name}:${payload.sub}`,
        };
      } catch (error) {
        last = asRefusal(error);
      }
    }
    throw last ?? invalid("is for none of the providers");
  }

  /**
   * Who logged in at this provider: the same, for a token that was asked for with this nonce.
   *
   * @throws EnrolmentRefusal
   */
  async verifyLogin(provider: Provider, token: string, nonce: string, now: number): Promise<LoggedIn> {
    if (issuerOf(token) !== provider.issuer) throw invalid("its issuer is not the provider that was asked");
    const getKey = await this.#keysOf(provider.issuer, now);
    try {
      const payload = await judge(token, getKey, provider, now);
      if (payload.nonce !== nonce) throw invalid("its nonce is not the one that was asked for");
      return {
        person: personFrom(provider, payload),
        voucher: `${provider.name}:${payload.sub}`,
        expires: (payload.exp ?? 0) * 1000,
      };
    } catch (error) {
      throw asRefusal(error);
    }
  }

  #keysOf(issuer: string, now: number): Promise<JWTVerifyGetKey> {
    const keys = this.#keys.get(issuer);
    if (keys === undefined) throw invalid("its issuer is not one of those configured");
    return keys.get(now);
  }
}
