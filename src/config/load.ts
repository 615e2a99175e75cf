import { RouteTable } from "../core/match.ts";
import type { NamePattern, Route } from "../core/route.ts";
import type { ProxyProtocol } from "../core/source.ts";
import { ConfigError, type ConfigProblem } from "../errors.ts";
import type { GroupSource } from "../identity/groups.ts";
import type { AllowRule } from "../identity/policy.ts";
import type { Profile } from "../identity/profile.ts";
import type { TunnelRule } from "../identity/publishers.ts";
import type { LimitSettings } from "../limits/limits.ts";
import type { RouterPlace } from "../peer/whereabouts.ts";
import type { RevocationSettings } from "../revocation/watch.ts";
import type { StateSettings } from "../state/redis-link.ts";
import type { Cidr } from "../wire/ip.ts";
import { type AcmeConfig, namesToOrder, orderedCertificates, readAcme, whyNotOrdered } from "./acme.ts";
import { type AuditConfig, auditConfig } from "./audit.ts";
import {
  type CertificateStore,
  certificateStore,
  pairUp,
  readCertificateFolder,
  type ServerCertificate,
  selectCertificate,
} from "./certificates.ts";
import { checkCertificates, checkPasswords, checkPorts, checkRoutes } from "./checks.ts";
import { type EnrolmentConfig, readEnrolment, readProviders } from "./enrolment.ts";
import type { Environment } from "./environment.ts";
import { checkLogins, hostLogin, type LoginConfig, loginConfig, loginProviders } from "./login.ts";
import { type OtlpConfig, otlpConfig } from "./otlp.ts";
import { appRoute, checkAgents, tunnelRoute } from "./own-routes.ts";
import { peerRoute } from "./peers.ts";
import { chainFrom, clientAnchorsFrom, type Files, pemOrPath } from "./pem.ts";
import { denyListFrom, sourcesFrom } from "./revocation.ts";
import { expectedRouteName, routeName } from "./route-name.ts";
import { parseRoute, type RouteDefaults } from "./route-url.ts";
import { readRoutesFile, type WrittenRoute } from "./routes-file.ts";
import type { SchemeInfo } from "./scheme.ts";
import { type SeparateListener, separateListeners } from "./separate.ts";
import { stateSettings } from "./state.ts";
import { didYouMean } from "./suggest.ts";
import { type Address, address } from "./values.ts";
import {
  clientPrefix,
  clientVariables,
  providerPrefix,
  routePrefix,
  type Values,
  variables,
} from "./variables.ts";

export interface Config {
  readonly listen: Address;
  readonly admin: Address | null;
  /** Whether the admin listener tells programs of this machine who is connected. */
  readonly adminConnections: boolean;
  /** For connection upgrades over plain HTTP. */
  readonly connect: Address | null;
  /** Listeners of one adapter's routes each: `SALLYPORT_LISTENER_MODE=separate`. */
  readonly separate: readonly SeparateListener[];
  readonly host: string;
  readonly table: RouteTable;
  readonly certificates: CertificateStore;
  /** `null` where no certificates are ordered. */
  readonly acme: AcmeConfig | null;
  readonly proxyProtocol: ProxyProtocol;
  /** Whose X-Forwarded-For is believed. */
  readonly forwardedFrom: readonly Cidr[];
  /** Without a byte either way, where no route says otherwise. */
  readonly idleMs: number;
  readonly timeouts: {
    readonly handshakeMs: number;
    readonly connectMs: number;
    readonly halfCloseMs: number;
    readonly drainMs: number;
    readonly drainDelayMs: number;
  };
  readonly limits: LimitSettings;
  readonly caps: { readonly connections: number; readonly perSource: number; readonly perIdentity: number };
  /** Who may see what the router does for others; empty: nobody. */
  readonly adminAllow: readonly AllowRule[];
  /** Whether its listeners may be another router's too. */
  readonly reusePort: boolean;
  /** Processes that share the port; `auto`: one a core. */
  readonly workers: number | "auto";
  /** What several routers share; `null` for one alone. */
  readonly state: StateSettings | null;
  readonly tunnel: {
    readonly rules: readonly TunnelRule[];
    readonly maxAgents: number;
    /** On one connection of an agent. */
    readonly maxStreams: number;
  };
  /** Where other routers are that are always asked for agents, this one left out. */
  readonly peers: readonly RouterPlace[];
  /** `host:port` at which other routers reach this one; `null`: it tells them none. */
  readonly peerAddress: string | null;
  /** What other routers are shown; `null` where there are none. */
  readonly peerCertificate: ServerCertificate | null;
  readonly log: {
    readonly format: "json" | "text" | null;
    readonly level: "debug" | "info" | "warn" | "error";
  };
  /** Whose rules client certificates are held to. */
  readonly profile: Profile;
  readonly revocation: RevocationSettings;
  /** Where groups are found in client certificates. */
  readonly groups: readonly GroupSource[];
  /** `-` standard output, `off`, or a path. */
  readonly audit: AuditConfig;
  readonly otlp: OtlpConfig;
  /** `null` where no authority issues certificates over the API. */
  readonly enrolment: EnrolmentConfig | null;
  /** `null` where browsers sign in nowhere. */
  readonly login: LoginConfig | null;
  /** The key of the router's assertions, PEM; `null`: one is made. */
  readonly jwtKey: string | null;
  /** What a careful reader would want to know, none of it wrong. */
  readonly warnings: readonly string[];
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/**
 * Reads the environment of `serve`. Throws a `ConfigError` that lists everything that is wrong.
 *
 * @param schemes what the adapters' registry offers
 */
export function loadConfig(env: Environment, schemes: readonly SchemeInfo[], files: Files): Config {
  const problems: ConfigProblem[] = [];
  const warnings: string[] = [];
  const values = readValues(env, problems);
  refuseUnknown(env, problems);

  const attempt = <T>(name: string, read: () => T): T | null => {
    try {
      return read();
    } catch (error) {
      problems.push({ name, message: messageOf(error) });
      return null;
    }
  };

  const clientCa = values.SALLYPORT_CLIENT_CA;
  const anchors =
    clientCa === null
      ? []
      : (attempt("SALLYPORT_CLIENT_CA", () => clientAnchorsFrom(clientCa, files)) ?? null);
  const before = problems.length;
  const configured = readCertificates(values, files, problems, attempt);
  const certificatesRead = problems.length === before;
  const admin = parseAddress("SALLYPORT_ADMIN_LISTEN", values, problems);
  const connect = parseAddress("SALLYPORT_CONNECT_LISTEN", values, problems);

  const crlText = values.SALLYPORT_CRL;
  const crl = crlText === null ? [] : (attempt("SALLYPORT_CRL", () => sourcesFrom(crlText, files)) ?? []);
  const deny = values.SALLYPORT_DENY;
  if (deny !== null) attempt("SALLYPORT_DENY", () => denyListFrom(deny, files));
  const allow = values.SALLYPORT_ALLOW ?? [];
  const expiryGraceMs = values.SALLYPORT_EXPIRY_GRACE ?? 0;
  const providers = readProviders(env, values, problems);
  const enrolment = readEnrolment(values, providers);
  const logins = loginProviders(providers);
  const jwtKeyText = values.SALLYPORT_JWT_KEY;
  const jwtKey =
    jwtKeyText === null ? null : attempt("SALLYPORT_JWT_KEY", () => pemOrPath(jwtKeyText, files));
  const state = stateSettings(values, files, attempt, warnings);
  const idleTimeoutMs = values.SALLYPORT_IDLE_TIMEOUT ?? 0;
  const routesFile = values.SALLYPORT_ROUTES_FILE;
  const listed = routesFile === null ? [] : readRoutesFile(routesFile, files, env, problems);
  // Where the anchors can't be read, routes are not blamed for lacking them.
  const routes = readRoutes(
    [...routesIn(env, problems), ...listed],
    env,
    schemes,
    files,
    { idleTimeoutMs, expiryGraceMs, crl, allow, anchors: anchors ?? ["unreadable"], logins },
    problems,
  );
  const login = hostLogin(values, logins, problems);
  const ofApp = { idleTimeoutMs, expiryGraceMs, crl, allow: [], anchors: anchors ?? [], login };
  const settings = readAcme(values, files, problems, warnings);
  const served = (name: NamePattern): boolean =>
    selectCertificate(configured, name.text) !== null ||
    (settings !== null && whyNotOrdered(settings, name, routes) === null);
  const app = appRoute(values, ofApp, served, problems, warnings);
  const tunnel = tunnelRoute(values, ofApp, app, problems);
  const { route: peer, certificate: peerCertificate } = peerRoute(
    values,
    ofApp,
    app,
    files,
    problems,
    warnings,
  );
  const own = [app, tunnel, peer].filter((route) => route !== null);
  checkAgents(routes, values, problems);
  checkLogins(routes, app, providers, values, problems, warnings);
  if (enrolment !== null && app === null) {
    const message = "its API is served at SALLYPORT_HOST, for which there is no certificate";
    problems.push({ name: "SALLYPORT_AUTHORITY", message });
  }
  checkRoutes(routes, own, problems);
  checkPasswords(routes, schemes, warnings);
  const plain = { SALLYPORT_ADMIN_LISTEN: admin, SALLYPORT_CONNECT_LISTEN: connect };
  const separate = separateListeners(values, schemes, [...routes, ...own], problems, warnings);
  checkPorts(routes, separate, values.SALLYPORT_LISTEN, plain, problems);
  for (const { variable, upstream } of routes) {
    if (upstream?.credentials?.minted === true && enrolment === null)
      problems.push({ name: variable, message: "upstream_cert=authority needs SALLYPORT_AUTHORITY" });
  }
  const names = settings === null ? [] : namesToOrder(settings, [...routes, ...own], configured);
  const acme = settings === null ? null : { ...settings, names };
  const ordered = acme === null ? [] : orderedCertificates(acme, files, problems);
  const more = configured.all.filter((one) => one !== configured.fallback);
  const certificates = certificateStore(configured.fallback, [...more, ...ordered]);
  // Where a certificate can't be read, routes are not blamed for lacking it.
  if (certificatesRead) checkCertificates([...routes, ...own], certificates, acme, problems, warnings);
  const from = values.SALLYPORT_PROXY_PROTOCOL_FROM ?? [];
  const mode = values.SALLYPORT_PROXY_PROTOCOL ?? "off";
  if (mode !== "off" && from.length === 0) {
    problems.push({
      name: "SALLYPORT_PROXY_PROTOCOL_FROM",
      message: `expected the networks of the load balancers, since SALLYPORT_PROXY_PROTOCOL is ${mode}`,
    });
  }
  if (mode === "off" && from.length > 0)
    warnings.push(
      "SALLYPORT_PROXY_PROTOCOL_FROM is set, and SALLYPORT_PROXY_PROTOCOL is off: no header is read",
    );
  if (values.SALLYPORT_ADMIN_ALLOW !== null && app?.client === "none" && app.login === null)
    warnings.push(
      "SALLYPORT_ADMIN_ALLOW is set, and SALLYPORT_CLIENT_CA is not: nobody can say who they are",
    );
  const audit = auditConfig(values, files, problems);
  const otlp = otlpConfig(values, env, problems);
  if (problems.length > 0) throw new ConfigError(problems);
  if (routes.length === 0)
    warnings.push("there is no SALLYPORT_ROUTE_*: only the router's own pages are served");

  return {
    listen: values.SALLYPORT_LISTEN ?? { host: "", port: 0 },
    admin,
    adminConnections: values.SALLYPORT_ADMIN_CONNECTIONS !== "off",
    connect,
    separate,
    host: app?.names[0]?.text ?? "",
    table: new RouteTable([...routes, ...own]),
    certificates,
    acme,
    proxyProtocol: { mode, from },
    idleMs: idleTimeoutMs,
    forwardedFrom: values.SALLYPORT_FORWARDED_FROM ?? [],
    timeouts: {
      handshakeMs: values.SALLYPORT_HANDSHAKE_TIMEOUT ?? 0,
      connectMs: values.SALLYPORT_CONNECT_TIMEOUT ?? 0,
      halfCloseMs: values.SALLYPORT_HALF_CLOSE_TIMEOUT ?? 0,
      drainMs: values.SALLYPORT_DRAIN_TIMEOUT ?? 0,
      drainDelayMs: values.SALLYPORT_DRAIN_DELAY ?? 0,
    },
    caps: {
      connections: values.SALLYPORT_MAX_CONNECTIONS ?? 0,
      perSource: values.SALLYPORT_MAX_CONNECTIONS_PER_SOURCE ?? 0,
      perIdentity: values.SALLYPORT_MAX_CONNECTIONS_PER_IDENTITY ?? 0,
    },
    limits: {
      connectionsPerSource: values.SALLYPORT_CONNECTION_RATE_PER_SOURCE,
      connectionsPerIdentity: values.SALLYPORT_CONNECTION_RATE_PER_IDENTITY,
      bandwidthPerSource: values.SALLYPORT_BANDWIDTH_PER_SOURCE,
      bandwidthPerIdentity: values.SALLYPORT_BANDWIDTH_PER_IDENTITY,
      handshakes: values.SALLYPORT_MAX_HANDSHAKES ?? 1,
      memory: values.SALLYPORT_MAX_MEMORY,
    },
    adminAllow: values.SALLYPORT_ADMIN_ALLOW ?? [],
    reusePort: values.SALLYPORT_REUSE_PORT === "on",
    workers: values.SALLYPORT_WORKERS ?? 1,
    state,
    tunnel: {
      rules: values.SALLYPORT_TUNNEL_ALLOW ?? [],
      maxAgents: values.SALLYPORT_TUNNEL_MAX_AGENTS ?? 0,
      maxStreams: values.SALLYPORT_TUNNEL_MAX_STREAMS ?? 0,
    },
    peers: (values.SALLYPORT_PEERS ?? [])
      .filter((address) => address !== values.SALLYPORT_PEER_ADDRESS)
      .map((address) => ({ address })),
    peerAddress: values.SALLYPORT_PEER_ADDRESS,
    peerCertificate,
    log: { format: values.SALLYPORT_LOG_FORMAT, level: values.SALLYPORT_LOG_LEVEL ?? "info" },
    groups: values.SALLYPORT_GROUPS ?? [],
    profile: values.SALLYPORT_CLIENT_PROFILE ?? "private",
    revocation: { rule: values.SALLYPORT_CRL_RULE ?? "hard", deny, ocsp: ocspSettings(values, warnings) },
    audit,
    otlp,
    enrolment,
    login: loginConfig(providers, values),
    jwtKey,
    warnings,
  };
}

function ocspSettings(values: Values, warnings: string[]): RevocationSettings["ocsp"] {
  const { SALLYPORT_OCSP: rule, SALLYPORT_OCSP_URL: url } = values;
  if (rule === "soft" || rule === "hard") return { rule, url };
  if (url !== null) warnings.push("SALLYPORT_OCSP_URL is set, and SALLYPORT_OCSP is off: nobody is asked");
  return null;
}

/** Every variable through its schema; a problem leaves it `null`, which is never used since loading then fails. */
function readValues(env: Environment, problems: ConfigProblem[]): Values {
  const values: Record<string, unknown> = {};
  for (const [name, { schema, fallback }] of Object.entries(variables)) {
    const given = env[name];
    const value = given === undefined || given === "" ? fallback : given;
    values[name] = null;
    if (value === null) continue;
    const result = schema.safeParse(value);
    if (result.success) values[name] = result.data;
    else problems.push({ name, message: result.error.issues[0]?.message ?? "is not understood" });
  }
  return values as Values;
}

function refuseUnknown(env: Environment, problems: ConfigProblem[]): void {
  const known: readonly string[] = [...Object.keys(variables), ...clientVariables];
  for (const name of Object.keys(env).sort()) {
    if (!name.startsWith("SALLYPORT_") || known.includes(name)) continue;
    if ([routePrefix, providerPrefix, clientPrefix].some((prefix) => name.startsWith(prefix))) continue;
    // SALLYPORT_ROUTES_ORDERS, most likely, is meant to be a route.
    const rest = name.split("_").slice(2).join("_");
    const candidates = [...known, ...(rest === "" ? [] : [`${routePrefix}${rest}`])];
    problems.push({ name, message: `is no variable of Sallyport${didYouMean(name, candidates)}` });
  }
}

function parseAddress(
  name: "SALLYPORT_ADMIN_LISTEN" | "SALLYPORT_CONNECT_LISTEN",
  values: Values,
  problems: ConfigProblem[],
): Address | null {
  const text = values[name] ?? "off";
  if (text === "off") return null;
  const result = address.safeParse(text);
  if (result.success) return result.data;
  problems.push({ name, message: `${result.error.issues[0]?.message}, or off` });
  return null;
}

function readCertificates(
  values: Values,
  files: Files,
  problems: ConfigProblem[],
  attempt: <T>(name: string, read: () => T) => T | null,
): CertificateStore {
  const { SALLYPORT_CERT: cert, SALLYPORT_KEY: key, SALLYPORT_CERT_DIR: folder } = values;
  const chain = cert === null ? null : attempt("SALLYPORT_CERT", () => chainFrom(cert, files));
  const keyPem = key === null ? null : attempt("SALLYPORT_KEY", () => pemOrPath(key, files));
  let fallback: ServerCertificate | null = null;
  if (chain !== null && keyPem !== null)
    fallback = attempt("SALLYPORT_KEY", () => pairUp("SALLYPORT_CERT", chain, keyPem, files));
  if (cert !== null && key === null)
    problems.push({ name: "SALLYPORT_KEY", message: "expected the private key of SALLYPORT_CERT" });
  if (key !== null && cert === null)
    problems.push({ name: "SALLYPORT_CERT", message: "expected the certificate chain of SALLYPORT_KEY" });
  const more =
    folder === null ? [] : (attempt("SALLYPORT_CERT_DIR", () => readCertificateFolder(folder, files)) ?? []);
  return certificateStore(fallback, more);
}

/** The routes that variables of their own say. */
function routesIn(env: Environment, problems: ConfigProblem[]): WrittenRoute[] {
  return Object.keys(env)
    .sort()
    .flatMap((variable) => {
      const value = env[variable];
      if (!variable.startsWith(routePrefix) || value === undefined || value === "") return [];
      const name = routeName(variable.slice(routePrefix.length));
      if (name === null) problems.push({ name: variable, message: expectedRouteName });
      return name === null ? [] : [{ variable, name, value }];
    });
}

function readRoutes(
  written: readonly WrittenRoute[],
  env: Environment,
  schemes: readonly SchemeInfo[],
  files: Files,
  defaults: RouteDefaults,
  problems: ConfigProblem[],
): Route[] {
  return written.flatMap(({ variable, name, value }) => {
    const route = parseRoute(variable, name, value, schemes, env, files, defaults);
    if (!("message" in route)) return [route];
    problems.push(route);
    return [];
  });
}
