import * as client from "openid-client";
import { reasonOf } from "../../enrolment/bounded-fetch.ts";
import { isSecureUrl } from "../../enrolment/secure-url.ts";
import type { CliIo } from "../command.ts";
import { listenForRedirect } from "./loopback.ts";
import { openBrowser } from "./open-browser.ts";

/** Where people log in, as the router says. */
export interface LoginProvider {
  readonly name: string;
  readonly issuer: string;
  readonly client_id: string;
  readonly scope: string;
}

const requestSeconds = 15;

/** A provider's own words, for a terminal. */
const printable = (text: string): string => text.replace(/[\p{Cc}\p{Cf}]/gu, " ").slice(0, 500);

async function discover({ issuer, client_id: clientId }: LoginProvider): Promise<client.Configuration> {
  if (!isSecureUrl(issuer)) throw new Error(`the provider ${printable(issuer)} is not reached over https`);
  const plain = new URL(issuer).protocol === "http:";
  return await client.discovery(new URL(issuer), clientId, undefined, client.None(), {
    timeout: requestSeconds,
    execute: plain ? [client.allowInsecureRequests] : [],
  });
}

/** What the library's errors hold is the provider's answer: its code and its words. */
function asError(error: unknown): Error {
  if (error instanceof client.AuthorizationResponseError || error instanceof client.ResponseBodyError) {
    const words = error.error_description === undefined ? "" : `: ${printable(error.error_description)}`;
    return new Error(`the provider refuses: ${printable(error.error)}${words}`);
  }
  return new Error(`logging in at the provider failed: ${printable(reasonOf(error))}`);
}

function idTokenOf(tokens: { readonly id_token?: string | undefined }): string {
  if (tokens.id_token === undefined) throw new Error("it gave no ID token");
  return tokens.id_token;
}

export interface BrowserOptions {
  /** Of the ID token; the hash of our key. */
  readonly nonce: string;
  /** `0`: any that is free. */
  readonly port: number;
  readonly open: boolean;
  readonly withinMs: number;
}

/** Authorization code with PKCE over a loopback redirect (RFC 8252, RFC 7636). Gives the ID token. */
export async function loginInBrowser(
  provider: LoginProvider,
  io: CliIo,
  options: BrowserOptions,
): Promise<string> {
  const state = client.randomState();
  const loopback = await listenForRedirect(state, options.port);
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const configuration = await discover(provider);
    const verifier = client.randomPKCECodeVerifier();
    const url = client.buildAuthorizationUrl(configuration, {
      redirect_uri: loopback.uri,
      scope: provider.scope,
      response_type: "code",
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      state,
      nonce: options.nonce,
    });
    if (!isSecureUrl(url.href)) throw new Error("its login page is not reached over https");
    io.err(`Log in with your browser: ${url.href}`);
    if (options.open) openBrowser(url.href, io.env);
    const late = new Promise<never>((_, reject) => {
      const words = `nobody logged in within ${Math.round(options.withinMs / 1000)} s`;
      timer = setTimeout(() => reject(new Error(words)), options.withinMs);
    });
    const redirected = await Promise.race([loopback.redirected, late]);
    const tokens = await client.authorizationCodeGrant(configuration, redirected, {
      pkceCodeVerifier: verifier,
      expectedState: state,
      expectedNonce: options.nonce,
      idTokenExpected: true,
    });
    return idTokenOf(tokens);
  } catch (error) {
    throw asError(error);
  } finally {
    clearTimeout(timer);
    loopback.close();
  }
}

/** Device authorization (RFC 8628): another device has the browser. Gives the ID token. */
export async function loginOnDevice(provider: LoginProvider, io: CliIo, withinMs: number): Promise<string> {
  try {
    const configuration = await discover(provider);
    const begun = await client.initiateDeviceAuthorization(configuration, { scope: provider.scope });
    const where = begun.verification_uri_complete ?? begun.verification_uri;
    if (!isSecureUrl(where)) throw new Error("its login page is not reached over https");
    io.err(
      `Open ${printable(where)} on any device, and see that it shows the code ${printable(begun.user_code)}`,
    );
    const signal = AbortSignal.timeout(withinMs);
    return idTokenOf(await client.pollDeviceAuthorizationGrant(configuration, begun, undefined, { signal }));
  } catch (error) {
    throw asError(error);
  }
}
