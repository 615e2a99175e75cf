import type { z } from "zod";
import type { Route } from "../core/route.ts";
import type { ConfigProblem } from "../errors.ts";
import { type AllowRule, parseAllow } from "../identity/policy.ts";
import type { Source } from "../revocation/read-lists.ts";
import { parseIp } from "../wire/ip.ts";
import { parseHostTemplate, parseNamePattern } from "./names.ts";
import { anchorsFrom, chainFrom, clientAnchorsFrom, type Files, pemOrPath } from "./pem.ts";
import { sourcesFrom } from "./revocation.ts";
import type { SchemeInfo } from "./scheme.ts";
import { didYouMean } from "./suggest.ts";
import { cidrs, count, duration, grace, list, oneOf, port } from "./values.ts";

interface Parameter {
  readonly meaning: string;
  /** May stand several times. */
  readonly many?: boolean;
  /** Refused on routes that pass TLS through. */
  readonly terminatedOnly?: boolean;
}

/** Every parameter of a route's URL; the reference table is made from this. */
export const parameters: Readonly<Record<string, Parameter>> = {
  sni: {
    meaning:
      "names: exact (`a.example.com`), wildcard of one label (`*.example.com`), or a capture (`{node}.apps.example.com`) usable in the upstream's host and `upstream_sni`; several: comma",
    many: true,
  },
  alpn: { meaning: "protocol ids, instead of the scheme's own; several: comma", many: true },
  client: { meaning: "client certificate: `required` (default), `optional` or `none`", terminatedOnly: true },
  client_ca: {
    meaning: "this route's own trust anchors for client certificates, PEM or a path",
    terminatedOnly: true,
  },
  crl: {
    meaning: "this route's own revocation lists, as `SALLYPORT_CRL` has them",
    terminatedOnly: true,
  },
  expiry_grace: { meaning: "instead of `SALLYPORT_EXPIRY_GRACE`", terminatedOnly: true },
  allow: {
    meaning:
      "who may: `cn:` `o:` `ou:` `dns:` `email:` `uri:` `group:` and a value in which `*` stands for part of a label or path segment; several `allow`: any of them, comma inside one: all of them",
    many: true,
    terminatedOnly: true,
  },
  source: { meaning: "networks (CIDR) that may; several: comma", many: true },
  port: { meaning: "a listener of the route's own, beside the one port; `sni` may then be left out" },
  send_proxy: {
    meaning:
      "a PROXY header to the upstream: `v1`, or `v2` with ALPN, name, TLS version and client certificate",
  },
  upstream_tls: {
    meaning:
      "`off`, `verify` (default for `https`, `kubernetes` and `rediss`) or `insecure`; not on `postgres`, `mysql` and `ssh` routes",
    terminatedOnly: true,
  },
  upstream_ca: {
    meaning: "trust anchors for the upstream's certificate, PEM or a path; default the system's",
    terminatedOnly: true,
  },
  upstream_cert: {
    meaning: "client certificate chain shown to the upstream, PEM or a path",
    terminatedOnly: true,
  },
  upstream_key: { meaning: "its private key, PEM or a path", terminatedOnly: true },
  upstream_sni: {
    meaning: "name sent to and verified of the upstream; default its host",
    terminatedOnly: true,
  },
  idle_timeout: { meaning: "instead of `SALLYPORT_IDLE_TIMEOUT`" },
  max_connections: { meaning: "open connections on this route" },
};

const futureParameters: readonly string[] = ["via"];

export interface RouteDefaults {
  readonly idleTimeoutMs: number;
  /** The global trust anchors, PEM. */
  readonly anchors: readonly string[];
  readonly crl: readonly Source[];
  readonly expiryGraceMs: number;
  /** For routes that require a certificate and say nothing of their own. */
  readonly allow: readonly AllowRule[];
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Thrown inside this file only: one problem of one route. */
class Problem extends Error {}

const fail = (message: string): never => {
  throw new Problem(message);
};

function hostTemplate(text: string, what: string): string {
  const host = parseHostTemplate(text);
  return typeof host === "string" ? host : fail(`${what} ${host.problem}`);
}

/** `${NAME}` from the environment, encoded so that a value can't become anything but a value. */
function expand(text: string, env: Environment): string {
  return text.replace(/\$\{([^}]*)\}?/g, (whole, name: string) => {
    if (!/^\$\{[A-Za-z_][A-Za-z0-9_]*\}$/.test(whole))
      fail(`holds a \${ that is no \${NAME}; a literal one is written %24{`);
    const value = env[name];
    return value === undefined
      ? fail(`\${${name}} is not set in the environment`)
      : encodeURIComponent(value);
  });
}

function decode(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return fail(`${what} holds a % that is no percent-encoding`);
  }
}

class Query {
  readonly #values = new Map<string, string[]>();

  constructor(text: string, info: SchemeInfo) {
    for (const pair of text === "" ? [] : text.split("&")) {
      const [rawKey = "", ...rest] = pair.split("=");
      const key = decode(rawKey, "a parameter's name");
      if (futureParameters.includes(key)) fail(`${key}= is not available in this version`);
      const parameter = Object.hasOwn(parameters, key) ? parameters[key] : undefined;
      if (parameter === undefined)
        fail(`unknown parameter ${key}=${didYouMean(key, Object.keys(parameters))}`);
      if (parameter?.terminatedOnly === true && !info.terminates) {
        fail(
          `${key}= makes no sense on a ${info.scheme} route: TLS passes through it, and the upstream authenticates`,
        );
      }
      const values = this.#values.get(key) ?? [];
      if (values.length > 0 && parameter?.many !== true) fail(`${key}= stands there twice`);
      const value = decode(rest.join("="), `${key}=`);
      if (value === "") fail(`${key}= is empty`);
      values.push(value);
      this.#values.set(key, values);
    }
  }

  all(key: string): string[] {
    return this.#values.get(key) ?? [];
  }

  items(key: string): string[] {
    const items = this.all(key).flatMap(list);
    return this.#values.has(key) && items.length === 0 ? fail(`${key}= is empty`) : items;
  }

  one(key: string): string | null {
    return this.all(key)[0] ?? null;
  }

  parse<T>(key: string, schema: z.ZodType<T, string>): T | null {
    const value = this.#values.has(key) ? this.all(key).join(",") : null;
    if (value === null) return null;
    const result = schema.safeParse(value);
    return result.success
      ? result.data
      : fail(`${key}=${result.error.issues[0]?.message ?? "is not understood"}`);
  }
}

const shape = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(?:([^@/?#]*)@)?([^/?#]*)(\/[^?#]*)?(?:\?([^#]*))?$/;
// RFC 8701 §2: what clients send to keep servers honest, never a protocol.
const grease = /^([*:JZjz])\1$/;
const authority = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/;

/** Turns what this file throws into a problem of the variable. */
function attempted(variable: string, read: () => Route): Route | ConfigProblem {
  try {
    return read();
  } catch (error) {
    if (error instanceof Problem) return { name: variable, message: error.message };
    throw error;
  }
}

/** Reads one `SALLYPORT_ROUTE_*` value. */
export const parseRoute = (
  variable: string,
  name: string,
  value: string,
  schemes: readonly SchemeInfo[],
  env: Environment,
  files: Files,
  defaults: RouteDefaults,
): Route | ConfigProblem =>
  attempted(variable, () => {
    const { query, info, where, ...matched } = matching(value, schemes, env);
    const route: Route = {
      name,
      variable,
      ...matched,
      ...clientRules(query, info, files, defaults),
      upstream: {
        ...where,
        tls: upstreamTls(query, info, files),
        sendProxy: query.parse("send_proxy", oneOf("v1", "v2")),
      },
      expiryGraceMs: query.parse("expiry_grace", grace) ?? defaults.expiryGraceMs,
      idleTimeoutMs: query.parse("idle_timeout", duration) ?? defaults.idleTimeoutMs,
      maxConnections: query.parse("max_connections", count),
    };
    checkCaptures(route);
    return route;
  });

/**
 * The same value where TLS is not terminated, but only matched and forwarded: what it says of certificates and of
 * the upstream is for the router behind to read.
 */
export const parseForwardedRoute = (
  variable: string,
  name: string,
  value: string,
  schemes: readonly SchemeInfo[],
  env: Environment,
): Route | ConfigProblem =>
  attempted(variable, () => {
    const { query: _query, info: _info, where, ...matched } = matching(value, schemes, env);
    const tls = { mode: "off", ca: null, cert: null, key: null, serverName: null } as const;
    const route: Route = {
      name,
      variable,
      ...matched,
      client: "none",
      anchors: [],
      allow: [],
      crl: [],
      upstream: { ...where, tls, sendProxy: null },
      expiryGraceMs: 0,
      idleTimeoutMs: 0,
      maxConnections: null,
    };
    checkCaptures(route);
    return route;
  });

/** What decides which connections a route takes, and where it leads. */
type Matching = Pick<
  Route,
  "scheme" | "adapter" | "terminates" | "names" | "alpn" | "takesNoAlpn" | "sources" | "port"
> & {
  readonly query: Query;
  readonly info: SchemeInfo;
  readonly where: { readonly host: string; readonly port: number };
};

function matching(value: string, schemes: readonly SchemeInfo[], env: Environment): Matching {
  const [, schemeText = "", userinfo, where = "", path, queryText = ""] =
    shape.exec(expand(value.trim(), env)) ?? [];
  if (schemeText === "")
    fail("is no URL: expected SCHEME://HOST:PORT?sni=NAME, such as https://10.0.3.7:443?sni=a.example.com");
  const scheme = schemeText.toLowerCase();
  const info = schemes.find((known) => known.scheme === scheme);
  if (info === undefined) {
    const known = schemes.map((one) => one.scheme);
    return fail(
      `unknown scheme ${scheme}://: expected one of ${known.join(", ")}${didYouMean(scheme, known)}`,
    );
  }
  if (userinfo !== undefined) fail(`a ${scheme} route takes no user name or password in its URL`);
  if (path !== undefined && path !== "/") fail("takes no path: the client's own path goes to the upstream");
  const [, bracketed = "", portText] = authority.exec(decode(where, "the upstream's host")) ?? [];
  if (bracketed === "") fail("has no upstream: expected SCHEME://HOST:PORT, one host");
  const upstreamPort = portText === undefined ? info.defaultPort : Number(portText);
  if (upstreamPort === null)
    return fail(`a ${scheme} route names its upstream's port: ${scheme}://HOST:PORT`);
  if (upstreamPort < 1 || upstreamPort > 65_535) fail(`${upstreamPort} is no port`);
  const bare = bracketed.replace(/^\[|\]$/g, "");
  const isAddress = parseIp(bare) !== null && bare.includes(":") === (bare !== bracketed);
  const host = isAddress ? bare : hostTemplate(bracketed, "the upstream");

  const query = new Query(queryText, info);
  const names = query.items("sni").map((text) => {
    const pattern = parseNamePattern(text);
    return "problem" in pattern ? fail(`sni=${pattern.problem}`) : pattern;
  });
  const ownPort = query.parse("port", port);
  if (names.length === 0 && ownPort === null)
    fail("has no sni=: expected the name that clients ask for, such as sni=a.example.com");
  const alpn = query.items("alpn");
  for (const id of alpn) {
    if (!/^[\x21-\x7e]{1,255}$/.test(id) || grease.test(id))
      fail(`alpn=${JSON.stringify(id)} is no protocol id: expected 1 to 255 ASCII characters, such as h2`);
  }
  if (alpn.includes("acme-tls/1"))
    fail("alpn=acme-tls/1 is the certificate authorities' own and never a route");

  return {
    query,
    info,
    scheme,
    adapter: info.adapter,
    terminates: info.terminates,
    names,
    alpn: alpn.length > 0 ? alpn : info.defaultAlpn,
    takesNoAlpn: info.takesNoAlpn,
    sources: query.parse("source", cidrs),
    port: ownPort,
    where: { host, port: upstreamPort },
  };
}

function clientRules(
  query: Query,
  info: SchemeInfo,
  files: Files,
  defaults: RouteDefaults,
): Pick<Route, "client" | "anchors" | "allow" | "crl"> {
  if (!info.terminates) return { client: "none", anchors: [], allow: [], crl: [] };
  const client = query.parse("client", oneOf("required", "optional", "none")) ?? "required";
  const own = query.one("client_ca");
  const allow: AllowRule[] = query.all("allow").map((text) => {
    const rule = parseAllow(text);
    return "problem" in rule ? fail(`allow=${rule.problem}`) : rule;
  });
  if (client === "none") {
    if (allow.length > 0) fail("allow= needs a client certificate, and client=none asks for none");
    if (own !== null) fail("client_ca= makes no sense with client=none");
    if (query.one("crl") !== null) fail("crl= makes no sense with client=none");
    return { client, anchors: [], allow, crl: [] };
  }
  const anchors =
    own === null ? defaults.anchors : secret(query, "client_ca", (text) => clientAnchorsFrom(text, files));
  if (anchors === null || anchors.length === 0) {
    return fail(
      `client=${client} needs trust anchors: set SALLYPORT_CLIENT_CA or client_ca= (or client=none to let anyone in)`,
    );
  }
  const crl = secret(query, "crl", (text) => sourcesFrom(text, files)) ?? defaults.crl;
  return { client, anchors, crl, allow: allow.length > 0 || client !== "required" ? allow : defaults.allow };
}

/** A parameter that holds PEM or a path. */
function secret<T>(query: Query, key: string, read: (text: string) => T): T | null {
  const value = query.one(key);
  if (value === null) return null;
  try {
    return read(value);
  } catch (error) {
    return fail(`${key}= ${error instanceof Error ? error.message : String(error)}`);
  }
}

function upstreamTls(query: Query, info: SchemeInfo, files: Files): NonNullable<Route["upstream"]>["tls"] {
  const mode = query.parse("upstream_tls", oneOf("off", "verify", "insecure")) ?? info.defaultUpstreamTls;
  if (mode !== "off" && !info.upstreamTls)
    fail(`upstream_tls=${mode} is not available on ${info.scheme} routes in this version`);
  const ca = secret(query, "upstream_ca", (text) => anchorsFrom(text, files));
  const cert = secret(query, "upstream_cert", (text) => chainFrom(text, files));
  const key = secret(query, "upstream_key", (text) => pemOrPath(text, files));
  const sni = query.one("upstream_sni");
  const serverName = sni === null ? null : hostTemplate(sni, "upstream_sni=");
  if (mode === "off" && (ca !== null || cert !== null || key !== null || serverName !== null)) {
    fail("upstream_ca=, upstream_cert=, upstream_key= and upstream_sni= need upstream_tls=verify");
  }
  if (mode === "insecure" && ca !== null)
    fail("upstream_ca= makes no sense with upstream_tls=insecure, which verifies nothing");
  if ((cert === null) !== (key === null)) fail("upstream_cert= and upstream_key= go together");
  if (cert !== null && key !== null) {
    const { problem } = files.inspectPair(cert, key);
    if (problem !== null) fail(`upstream_key= ${problem}`);
  }
  return { mode, ca, cert, key, serverName };
}

/** Captures used in the upstream must come from every name that the route serves. */
function checkCaptures(route: Route): void {
  const used = `${route.upstream?.host} ${route.upstream?.tls.serverName ?? ""}`.matchAll(/\{([^}]*)\}/g);
  for (const [, capture = ""] of used) {
    if (route.names.length === 0 || route.names.some(({ variables }) => !variables.includes(capture))) {
      fail(`{${capture}} in the upstream is captured by no sni= (or not by all of them)`);
    }
  }
}
