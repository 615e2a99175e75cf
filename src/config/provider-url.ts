import type { Condition, Provider } from "../enrolment/provider.ts";
import { isSecureUrl } from "../enrolment/secure-url.ts";
import { parseTemplate, type Template } from "../enrolment/template.ts";
import type { ConfigProblem } from "../errors.ts";
import { type Environment, expand } from "./environment.ts";
import { fail, Problem } from "./query.ts";
import { didYouMean } from "./suggest.ts";
import { certificateLifetime, delay, duration, list, oneOf } from "./values.ts";

/** Every parameter of an OpenID provider's URL; the reference table is made from this. */
export const providerParameters: Readonly<
  Record<string, { readonly meaning: string; readonly many?: boolean }>
> = {
  client_id: {
    meaning:
      "this router's client at the provider: the command `login` and routes with `login=` use it, and tokens may be for it",
  },
  client_secret: {
    meaning:
      "its secret, where the provider wants one of web applications (best from a variable, as in a route's URL): such a client is for browsers on routes with `login=`, and not for the command `login`",
  },
  audience: { meaning: "whom tokens may be for (`aud`), beside `client_id`; several: comma", many: true },
  scope: { meaning: "what `login` asks for, separated by spaces; default `openid email profile`" },
  require: {
    meaning:
      "who may: `CLAIM:VALUE`, in which `*` stands for part of what is between two `/`; several `require`: any of them, comma inside one: all of them",
    many: true,
  },
  name: { meaning: "template of the common name; default `{email}`" },
  org: { meaning: "the organization" },
  group: { meaning: "template of groups; a claim that is missing makes none", many: true },
  group_match: {
    meaning:
      "which of these groups are taken, `*` as in `require`; default all, and a certificate for nobody who has more than 64",
    many: true,
  },
  email: { meaning: "template of email addresses", many: true },
  uri: {
    meaning:
      "template of URIs, such as `spiffe://example.com/user/{sub}`; a value that may hold `/` is written `{+CLAIM}`",
    many: true,
  },
  nonce: {
    meaning:
      "`bound` (default): a token's nonce, if it has one, is the hash of the key, as `login` makes it; `required`: it has one; `any`: it is not looked at",
  },
  max_age: { meaning: "how old a token may be; default `10m`" },
  lifetime: { meaning: "of its certificates, instead of `SALLYPORT_CERTIFICATE_LIFETIME`" },
  renewal: { meaning: "how long they can be renewed, instead of `SALLYPORT_RENEWAL_SPAN`" },
};

export type ProviderDefaults = Pick<Provider, "lifetimeMs" | "renewalSpanMs">;

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return fail("holds a % that is no percent-encoding");
  }
}

function readQuery(text: string): (key: string) => readonly string[] {
  const values = new Map<string, string[]>();
  for (const pair of text === "" ? [] : text.split("&")) {
    const [rawKey = "", ...rest] = pair.split("=");
    const key = decode(rawKey);
    const parameter = Object.hasOwn(providerParameters, key) ? providerParameters[key] : undefined;
    if (parameter === undefined)
      fail(`unknown parameter ${key}=${didYouMean(key, Object.keys(providerParameters))}`);
    const given = values.get(key) ?? [];
    if (given.length > 0 && parameter?.many !== true) fail(`${key}= stands there twice`);
    const value = decode(rest.join("="));
    if (value === "") fail(`${key}= is empty`);
    values.set(key, [...given, value]);
  }
  return (key) => values.get(key) ?? [];
}

function template(key: string, text: string): Template {
  const read = parseTemplate(text);
  return "problem" in read ? fail(`${key}=${read.problem}`) : read;
}

/** `repository_owner:acme,ref:refs/heads/main`; a comma inside a value is written `\,`. */
function conditions(text: string): Condition[] {
  return text.split(/(?<!\\),/).map((part) => {
    const [, claim, pattern] = /^\s*([^:]+):(.+?)\s*$/.exec(part) ?? [];
    if (claim === undefined || pattern === undefined || pattern.includes("**"))
      return fail(`require=${part}: expected CLAIM:VALUE, such as repository:acme/app`);
    return { claim, pattern: pattern.replaceAll("\\,", ",") };
  });
}

function parse(name: string, value: string, unset: ProviderDefaults, env: Environment): Provider {
  const [issuer = "", query = ""] = expand(value.trim(), env).split(/\?(.*)/s);
  // OpenID Connect Discovery 1.0 §3.
  if (!isSecureUrl(issuer) || issuer.includes("#"))
    fail("is no issuer: expected https://HOST/PATH?PARAMETERS (http:// for loopback alone)");
  const all = readQuery(query);
  const one = (key: string): string | undefined => all(key)[0];
  const read = <T>(key: string, schema: { safeParse(text: string): SafeParsed<T> }, unset: T): T => {
    const text = one(key);
    if (text === undefined) return unset;
    const result = schema.safeParse(text);
    return result.success ? result.data : fail(`${key}=${result.error.issues[0]?.message}`);
  };
  const clientId = one("client_id") ?? null;
  const clientSecret = one("client_secret") ?? null;
  if (clientSecret !== null && clientId === null) fail("client_secret= needs client_id=");
  const audiences = [...(clientId === null ? [] : [clientId]), ...all("audience").flatMap(list)];
  if (audiences.length === 0)
    fail("expected client_id= or audience=: a token that could be for anybody is worth nothing");
  const scope = one("scope") ?? "openid email profile";
  if (!scope.split(" ").includes("openid")) fail(`scope=${scope}: expected openid among them`);
  return {
    name,
    issuer,
    clientId,
    clientSecret,
    audiences,
    scope,
    require: all("require").map(conditions),
    identity: {
      name: template("name", one("name") ?? "{email}"),
      organization: one("org") ?? null,
      groups: all("group").map((text) => template("group", text)),
      groupMatch: all("group_match"),
      emails: all("email").map((text) => template("email", text)),
      uris: all("uri").map((text) => template("uri", text)),
    },
    nonce: read("nonce", oneOf("bound", "required", "any"), "bound"),
    maxAgeMs: read("max_age", duration, 10 * 60_000),
    lifetimeMs: read("lifetime", certificateLifetime, unset.lifetimeMs),
    renewalSpanMs: read("renewal", delay, unset.renewalSpanMs),
  };
}

type SafeParsed<T> =
  | { readonly success: true; readonly data: T }
  | { readonly success: false; readonly error: { readonly issues: readonly { readonly message: string }[] } };

/** Reads one `SALLYPORT_OIDC_*` value: an issuer as a URL, with what becomes of its word as parameters. */
export function parseProvider(
  variable: string,
  name: string,
  value: string,
  unset: ProviderDefaults,
  env: Environment,
): Provider | ConfigProblem {
  try {
    return parse(name, value, unset, env);
  } catch (error) {
    if (error instanceof Problem) return { name: variable, message: error.message };
    throw error;
  }
}
