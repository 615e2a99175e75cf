import type { HttpRules, NamePattern, Route, Upstream, UpstreamServer } from "../core/route.ts";
import type { ConfigProblem } from "../errors.ts";
import { type AllowRule, parseAllow } from "../identity/policy.ts";
import type { Source } from "../revocation/read-lists.ts";
import { parseIp } from "../wire/ip.ts";
import { credentialsIn, databaseRules } from "./database.ts";
import { type Environment, expand } from "./environment.ts";
import { kubernetesRules } from "./kubernetes.ts";
import { loginRule } from "./login.ts";
import { isTunnelTemplate, parseNamePattern } from "./names.ts";
import { clientAnchorsFrom, type Files } from "./pem.ts";
import { decode, fail, hostTemplate, Problem, Query, secret } from "./query.ts";
import { sourcesFrom } from "./revocation.ts";
import type { SchemeInfo } from "./scheme.ts";
import { didYouMean } from "./suggest.ts";
import { upstreamTls } from "./upstream.ts";
import { cidrs, count, duration, grace, oneOf, port } from "./values.ts";

export interface RouteDefaults {
  readonly idleTimeoutMs: number;
  /** The global trust anchors, PEM. */
  readonly anchors: readonly string[];
  readonly crl: readonly Source[];
  readonly expiryGraceMs: number;
  /** For routes that want to know who somebody is and say nothing of their own. */
  readonly allow: readonly AllowRule[];
  /** The providers at which browsers can sign in, by name. */
  readonly logins: readonly string[];
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
    const { query, info, userinfo, where, ...matched } = matching(value, schemes, env);
    const { certificate, ...tls } = upstreamTls(query, info, files);
    if (where.via !== null && tls.mode === "verify" && tls.serverName === null)
      fail("via= needs upstream_sni= where the upstream's TLS is verified: the name in its certificate");
    const credentials = info.database ? credentialsIn(userinfo, certificate) : null;
    const route: Route = {
      name,
      variable,
      ...matched,
      ...clientRules(query, info, files, defaults, loginRule(query, matched.port, defaults.logins)),
      upstream: {
        ...where,
        tls,
        sendProxy: query.parse("send_proxy", oneOf("v1", "v2")),
        credentials,
      },
      database: databaseRules(query, info, credentials, capturesOf(matched.names)),
      kubernetes: kubernetesRules(query, info, tls.cert !== null, files, capturesOf(matched.names)),
      expiryGraceMs: query.parse("expiry_grace", grace) ?? defaults.expiryGraceMs,
      http: httpRules(query, info, query.parse("idle_timeout", duration) ?? defaults.idleTimeoutMs),
      idleTimeoutMs: query.parse("idle_timeout", duration) ?? defaults.idleTimeoutMs,
      sessionTimeoutMs: query.parse("session_timeout", duration),
      maxConnections: query.parse("max_connections", count),
      certificate: null,
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
    const {
      query: _query,
      info: _info,
      userinfo: _userinfo,
      where,
      ...matched
    } = matching(value, schemes, env);
    const tls = { mode: "off", ca: null, cert: null, key: null, serverName: null } as const;
    const route: Route = {
      name,
      variable,
      ...matched,
      client: "none",
      anchors: [],
      allow: [],
      login: null,
      crl: [],
      upstream: { ...where, tls, sendProxy: null, credentials: null },
      database: null,
      kubernetes: null,
      http: null,
      expiryGraceMs: 0,
      idleTimeoutMs: 0,
      sessionTimeoutMs: null,
      maxConnections: null,
      certificate: null,
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
  readonly userinfo: string | undefined;
  readonly where: Pick<Upstream, "host" | "port" | "via" | "others">;
};

/** An upstream that the router dials: for HTTP of several servers. */
function dialled(text: string, info: SchemeInfo): Matching["where"] {
  const { scheme } = info;
  const places = text.split(",");
  if (places.length > 1 && !info.http)
    fail(`a ${scheme} route has one upstream: expected ${scheme}://HOST:PORT, one host`);
  const [first, ...others] = places.map((place) => serverIn(place, info));
  if (first === undefined) return fail("has no upstream: expected SCHEME://HOST:PORT, one host");
  const texts = [first, ...others].map(({ host, port }) => `${host}:${port}`);
  const twice = texts.find((text, i) => texts.indexOf(text) !== i);
  if (twice !== undefined) fail(`names ${twice} twice`);
  return { ...first, others, via: null };
}

/** A service that an agent publishes: both by name, in which captures may stand. */
function published(service: string, via: string): Matching["where"] {
  const expected = "expected a name of small letters, digits and hyphens, or a capture such as {agent}";
  if (!isTunnelTemplate(via)) fail(`via=${via} is no agent's name: ${expected}`);
  if (!isTunnelTemplate(service))
    fail(
      `with via= the upstream is a service of that agent, and ${JSON.stringify(service)} is none: ${expected}`,
    );
  return { host: service, port: 0, others: [], via };
}

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
  if (userinfo !== undefined && !info.database)
    fail(`a ${scheme} route takes no user name or password in its URL`);
  if (where.includes("@")) fail("has more than one @: one inside a user name or password is written %40");
  if (path !== undefined && path !== "/") fail("takes no path: the client's own path goes to the upstream");
  const query = new Query(queryText, info);
  const via = query.one("via");
  const upstreamAt = decode(where, "the upstream's host");
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
    userinfo,
    scheme,
    adapter: info.adapter,
    terminates: info.terminates,
    names,
    alpn: alpn.length > 0 ? alpn : info.defaultAlpn,
    takesNoAlpn: info.takesNoAlpn,
    sources: query.parse("source", cidrs),
    port: ownPort,
    where: via === null ? dialled(upstreamAt, info) : published(upstreamAt, via),
  };
}

function serverIn(place: string, { scheme, defaultPort }: SchemeInfo): UpstreamServer {
  const [, bracketed = "", portText] = authority.exec(place) ?? [];
  if (bracketed === "") fail("has no upstream: expected SCHEME://HOST:PORT, one host");
  const port = portText === undefined ? defaultPort : Number(portText);
  if (port === null) return fail(`a ${scheme} route names its upstream's port: ${scheme}://HOST:PORT`);
  if (port < 1 || port > 65_535) fail(`${port} is no port`);
  const bare = bracketed.replace(/^\[|\]$/g, "");
  const isAddress = parseIp(bare) !== null && bare.includes(":") === (bare !== bracketed);
  return { host: isAddress ? bare : hostTemplate(bracketed, "the upstream"), port };
}

/** Under way at each server, as other proxies have it. */
const defaultMaxRequests = 1024;

const httpRules = (query: Query, info: SchemeInfo, idleMs: number): HttpRules | null =>
  info.http
    ? {
        answerMs: query.parse("answer_timeout", duration) ?? idleMs,
        maxRequests: query.parse("max_requests", count) ?? defaultMaxRequests,
      }
    : null;

function clientRules(
  query: Query,
  info: SchemeInfo,
  files: Files,
  defaults: RouteDefaults,
  login: string | null,
): Pick<Route, "client" | "anchors" | "allow" | "crl" | "login"> {
  if (!info.terminates) return { client: "none", anchors: [], allow: [], crl: [], login };
  const client = query.parse("client", oneOf("required", "optional", "none")) ?? "required";
  const own = query.one("client_ca");
  const allow: AllowRule[] = query.all("allow").map((text) => {
    const rule = parseAllow(text);
    return "problem" in rule ? fail(`allow=${rule.problem}`) : rule;
  });
  if (login !== null && client === "required")
    fail(
      "login= needs client=optional or client=none: with client=required no browser without a certificate gets as far as to sign in",
    );
  const toAll = client === "required" || login !== null ? defaults.allow : [];
  const rules = { allow: allow.length > 0 ? allow : toAll, login };
  if (client === "none") {
    if (allow.length > 0 && login === null)
      fail("allow= needs a client certificate, and client=none asks for none");
    if (own !== null) fail("client_ca= makes no sense with client=none");
    if (query.one("crl") !== null) fail("crl= makes no sense with client=none");
    return { client, anchors: [], crl: [], ...rules };
  }
  const anchors =
    own === null ? defaults.anchors : secret(query, "client_ca", (text) => clientAnchorsFrom(text, files));
  if (anchors === null || anchors.length === 0) {
    return fail(
      `client=${client} needs trust anchors: set SALLYPORT_CLIENT_CA or client_ca= (or client=none to let anyone in)`,
    );
  }
  const crl = secret(query, "crl", (text) => sourcesFrom(text, files)) ?? defaults.crl;
  return { client, anchors, crl, ...rules };
}

/** What every one of the names captures. */
const capturesOf = (names: readonly NamePattern[]): readonly string[] =>
  (names[0]?.variables ?? []).filter(
    (name): name is string => name !== null && names.every(({ variables }) => variables.includes(name)),
  );

/** Captures used in the upstream must come from every name that the route serves. */
function checkCaptures(route: Route): void {
  const { upstream } = route;
  const hosts = [upstream?.host, ...(upstream?.others ?? []).map(({ host }) => host), upstream?.via ?? ""];
  const used = `${hosts.join(" ")} ${upstream?.tls.serverName ?? ""}`.matchAll(/\{([^}]*)\}/g);
  for (const [, capture = ""] of used) {
    if (!capturesOf(route.names).includes(capture)) {
      fail(`{${capture}} in the upstream is captured by no sni= (or not by all of them)`);
    }
  }
}
