import type { Route } from "../core/route.ts";
import type { Provider } from "../enrolment/provider.ts";
import type { ConfigProblem } from "../errors.ts";
import { fail, Problem, type Query } from "./query.ts";
import { providerPrefix, type Values } from "./variables.ts";

/** How browsers sign in. */
export interface LoginConfig {
  /** All at which they could: routes that say where come and go with reloads. */
  readonly providers: readonly (Provider & { readonly clientId: string })[];
  /** For how long, in milliseconds, at most. */
  readonly lifetimeMs: number;
}

const hasClient = (provider: Provider): provider is Provider & { readonly clientId: string } =>
  provider.clientId !== null;

const variableOf = (provider: string): string =>
  `${providerPrefix}${provider.toUpperCase().replaceAll("-", "_")}`;

/** The names of the providers at which people can log in. */
export const loginProviders = (providers: readonly Provider[]): readonly string[] =>
  providers.filter(hasClient).map(({ name }) => name);

/** The provider that `oidc` or `oidc:NAME` means. Throws a `Problem`. */
function providerMeant(text: string, logins: readonly string[]): string {
  const [, name] =
    /^oidc(?::([a-z0-9-]+))?$/.exec(text) ?? fail(`${JSON.stringify(text)}: expected oidc or oidc:NAME`);
  if (name !== undefined)
    return logins.includes(name)
      ? name
      : fail(`${text} needs ${variableOf(name)} with client_id=: there is no such provider`);
  const [only, ...others] = logins;
  if (only === undefined)
    return fail(`${text} needs a provider at which to sign in: set ${providerPrefix}* with client_id=`);
  if (others.length > 0)
    return fail(`${text} could be any of ${logins.join(", ")}: expected oidc:${only}, for example`);
  return only;
}

/** Where browsers sign in for a route; `null`: nowhere. Throws a `Problem`. */
export function loginRule(query: Query, port: number | null, logins: readonly string[]): string | null {
  const text = query.one("login");
  if (text === null) return null;
  if (port !== null)
    fail("login= makes no sense with port=: the provider sends browsers to SALLYPORT_HOST, at the one port");
  try {
    return providerMeant(text, logins);
  } catch (error) {
    throw error instanceof Problem ? new Problem(`login=${error.message}`) : error;
  }
}

/** Where browsers sign in for the router's own pages; `null`: nowhere. */
export function hostLogin(
  { SALLYPORT_HOST_LOGIN: text }: Values,
  logins: readonly string[],
  problems: ConfigProblem[],
): string | null {
  if (text === null) return null;
  try {
    return providerMeant(text, logins);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    problems.push({ name: "SALLYPORT_HOST_LOGIN", message: error.message });
    return null;
  }
}

/** Who signs in where, between parts that are sound one by one. */
export function checkLogins(
  routes: readonly Route[],
  app: Route | null,
  providers: readonly Provider[],
  values: Values,
  problems: ConfigProblem[],
  warnings: string[],
): void {
  const signing = [...routes, ...(app === null ? [] : [app])].filter(({ login }) => login !== null);
  for (const { variable } of routes.filter(({ login }) => login !== null)) {
    if (app !== null) continue;
    const message = "login= needs a certificate for SALLYPORT_HOST: the provider sends browsers there";
    problems.push({ name: variable, message });
  }
  for (const { name } of values.SALLYPORT_AUTHORITY === null ? providers : []) {
    if (signing.some(({ login }) => login === name)) continue;
    const message =
      "needs SALLYPORT_AUTHORITY, or a route with login=oidc: without either there is nothing to vouch for";
    problems.push({ name: variableOf(name), message });
  }
  if (signing.length > 0 && values.SALLYPORT_JWT_KEY === null)
    warnings.push(
      "SALLYPORT_JWT_KEY is not set: browsers sign in again after a restart, and several routers behind one name don't know each other's",
    );
}

/** `null` where there is no provider at which browsers could sign in. */
export function loginConfig(
  providers: readonly Provider[],
  { SALLYPORT_LOGIN_LIFETIME: lifetimeMs }: Values,
): LoginConfig | null {
  const logins = providers.filter(hasClient);
  return logins.length === 0 ? null : { providers: logins, lifetimeMs: lifetimeMs ?? 0 };
}
