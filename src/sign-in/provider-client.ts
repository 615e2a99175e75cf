import * as client from "openid-client";
import { boundedFetch, reasonOf } from "../enrolment/bounded-fetch.ts";
import type { Provider } from "../enrolment/provider.ts";
import { EnrolmentRefusal } from "../enrolment/refusal.ts";
import { isSecureUrl } from "../enrolment/secure-url.ts";

/** A provider at which people log in. */
export type LoginProvider = Provider & { readonly clientId: string };

/** What a login that is under way is held to. */
export interface Challenge {
  readonly nonce: string;
  /** Of PKCE (RFC 7636). */
  readonly verifier: string;
  readonly redirectUri: string;
}

const requestSeconds = 5;
const foundMs = 3_600_000;
const failedMs = 10_000;

/** Text of others, for a page or a record. */
const printable = (text: string): string => text.replace(/[\p{Cc}\p{Cf}]/gu, " ").slice(0, 300);

export const newChallenge = (redirectUri: string): Challenge => ({
  nonce: client.randomNonce(),
  verifier: client.randomPKCECodeVerifier(),
  redirectUri,
});

/** The router as a client of one provider: authorization code with PKCE (RFC 6749, RFC 7636, OpenID Connect Core 1.0). */
export class ProviderClient {
  readonly #provider: LoginProvider;
  #found: { readonly configuration: Promise<client.Configuration>; readonly until: number } | undefined;

  constructor(provider: LoginProvider) {
    this.#provider = provider;
  }

  /** The address at which to log in. Throws an `EnrolmentRefusal`. */
  async begin({ nonce, verifier, redirectUri }: Challenge, state: string, choose: boolean): Promise<string> {
    const configuration = await this.#configuration();
    const url = client.buildAuthorizationUrl(configuration, {
      redirect_uri: redirectUri,
      scope: this.#provider.scope,
      response_type: "code",
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      state,
      nonce,
      ...(choose ? { prompt: "select_account" } : {}),
    });
    if (isSecureUrl(url.href)) return url.href;
    throw new EnrolmentRefusal(
      "upstream_unreachable",
      "the provider's login page is not reached over https",
      60,
    );
  }

  /** The ID token for what the provider sent the browser back with. Throws an `EnrolmentRefusal`. */
  async redeem(returned: URLSearchParams, { nonce, verifier, redirectUri }: Challenge): Promise<string> {
    const configuration = await this.#configuration();
    try {
      const { id_token: token } = await client.authorizationCodeGrant(
        configuration,
        new URL(`${redirectUri}?${returned}`),
        {
          pkceCodeVerifier: verifier,
          expectedNonce: nonce,
          expectedState: returned.get("state") ?? "",
          idTokenExpected: true,
        },
      );
      if (token !== undefined) return token;
    } catch (error) {
      throw asRefusal(error);
    }
    throw new EnrolmentRefusal("token_invalid", "the provider gave no ID token");
  }

  #configuration(): Promise<client.Configuration> {
    const now = Date.now();
    if (this.#found !== undefined && now < this.#found.until) return this.#found.configuration;
    const former = this.#found?.configuration;
    const configuration = discover(this.#provider).catch((error) => {
      // Left alone for a while; what it said before still holds.
      this.#found = { configuration: former ?? configuration, until: Date.now() + failedMs };
      if (former !== undefined) return former;
      throw new EnrolmentRefusal(
        "upstream_unreachable",
        `the provider can't be asked: ${printable(reasonOf(error))}`,
        10,
      );
    });
    this.#found = { configuration, until: now + foundMs };
    return configuration;
  }
}

const bounded: client.CustomFetch = (url, options) =>
  boundedFetch(url, { ...options, body: options.body as BodyInit, signal: options.signal ?? null });

async function discover({ issuer, clientId, clientSecret }: LoginProvider): Promise<client.Configuration> {
  const plain = new URL(issuer).protocol === "http:";
  const execute = plain ? [client.allowInsecureRequests] : [];
  const found = await client.discovery(new URL(issuer), clientId, undefined, client.None(), {
    timeout: requestSeconds,
    execute,
    [client.customFetch]: bounded,
  });
  const server = found.serverMetadata();
  if (clientSecret === null) return found;
  // OpenID Connect Discovery 1.0 §3: where nothing is said, it is Basic.
  const methods = server.token_endpoint_auth_methods_supported ?? ["client_secret_basic"];
  const proof = methods.includes("client_secret_basic") ? client.ClientSecretBasic : client.ClientSecretPost;
  const configuration = new client.Configuration(server, clientId, undefined, proof(clientSecret));
  configuration.timeout = requestSeconds;
  configuration[client.customFetch] = bounded;
  for (const permit of execute) permit(configuration);
  return configuration;
}

/** What the library's errors hold is the provider's answer: its code and its words. */
function asRefusal(error: unknown): EnrolmentRefusal {
  if (error instanceof EnrolmentRefusal) return error;
  const words = (code: string, more: string | undefined): string =>
    printable(more === undefined ? code : `${code}: ${more}`);
  if (error instanceof client.AuthorizationResponseError)
    return new EnrolmentRefusal(
      "identity_not_allowed",
      `the provider refuses: ${words(error.error, error.error_description)}`,
    );
  if (error instanceof client.ResponseBodyError)
    return new EnrolmentRefusal(
      "token_invalid",
      `the provider gives nothing for it: ${words(error.error, error.error_description)}`,
    );
  if (error instanceof client.ClientError && error.code !== "OAUTH_TIMEOUT" && error.code !== undefined)
    return new EnrolmentRefusal(
      "token_invalid",
      `what the provider says does not hold: ${printable(error.message)}`,
    );
  return new EnrolmentRefusal(
    "upstream_unreachable",
    `the provider can't be asked: ${printable(reasonOf(error))}`,
    10,
  );
}
