import type { ImpersonationRules } from "../identity/impersonation.ts";
import type { AllowRule } from "../identity/policy.ts";
import type { Right } from "../identity/rights.ts";
import type { Source } from "../revocation/read-lists.ts";
import type { Cidr } from "../wire/ip.ts";

/** `required`: no certificate, no connection. `optional`: one that is sent must be good. `none`: not asked for. */
export type ClientRule = "required" | "optional" | "none";

/** A name that a route serves: variable labels in front, literal ones behind. */
export interface NamePattern {
  /** As the user wrote it, normalised. */
  readonly text: string;
  /** Names of the leading variable labels, `null` for `*`; empty for an exact name. */
  readonly variables: readonly (string | null)[];
  /** The literal rest, without a leading dot. */
  readonly suffix: string;
}

export interface UpstreamTls {
  /** `off`: plain. `insecure`: TLS without verification. */
  readonly mode: "off" | "verify" | "insecure";
  /** PEM; `null` means the system's. */
  readonly ca: readonly string[] | null;
  readonly cert: string | null;
  readonly key: string | null;
  /** May hold captures; `null` means the upstream's host. */
  readonly serverName: string | null;
}

export interface UpstreamServer {
  /** May hold captures: `{node}.internal`. */
  readonly host: string;
  readonly port: number;
}

export interface Upstream {
  /** May hold captures: `{node}.internal`. Where an agent publishes it, the service's name. */
  readonly host: string;
  /** 0 where an agent publishes it. */
  readonly port: number;
  /** More servers like the first, for adapters that choose one for each request. */
  readonly others: readonly UpstreamServer[];
  /** The agent that publishes it, captures and all; `null`: it is dialled. */
  readonly via: string | null;
  readonly tls: UpstreamTls;
  readonly sendProxy: "v1" | "v2" | null;
  /** What the router shows the upstream in its clients' place; `null` where they show it themselves. */
  readonly credentials: Credentials | null;
}

export interface Credentials {
  /** Whom every client is to the upstream; `null`: whom it asks to be. */
  readonly user: string | null;
  readonly password: string | null;
  /** A certificate that the authority makes for the user, instead of one in `UpstreamTls`. */
  readonly minted: boolean;
}

/** Who may be whom in a database, and what is written down of it. */
export interface DatabaseRules {
  /** Database users that may be asked for; `null`: any. */
  readonly users: readonly Right[] | null;
  /** Databases that may be asked for; `null`: any. */
  readonly names: readonly Right[] | null;
  readonly auditStatements: boolean;
  /** Whether clients may ask for a stream of changes. */
  readonly replication: boolean;
  /** Whether clients may set server parameters as they connect. */
  readonly startupOptions: boolean;
  /** Whether the server may ask clients for files. */
  readonly localInfile: boolean;
}

/** What an API server knows the router by: a bearer token, or a file that somebody keeps one in. */
export type UpstreamToken = { readonly text: string } | { readonly path: string };

/** Who clients are to a Kubernetes API server, and what is written down of what they ask. */
export interface KubernetesRules {
  /** `null`: a client certificate in `UpstreamTls`, or nothing. */
  readonly token: UpstreamToken | null;
  /** `null`: clients show the API server who they are themselves. */
  readonly impersonation: ImpersonationRules | null;
  readonly auditRequests: boolean;
}

/** How HTTP is spoken with a route's upstream. */
export interface HttpRules {
  /** From the end of a request to the head of its answer, milliseconds. */
  readonly answerMs: number;
  /** Requests under way at each of its servers. */
  readonly maxRequests: number;
}

/** One way through the gate. Plain data: made by the configuration, read by the core. */
export interface Route {
  readonly name: string;
  /** The variable that made it, for messages. */
  readonly variable: string;
  readonly scheme: string;
  readonly adapter: string;
  /** False where TLS passes through untouched. */
  readonly terminates: boolean;
  /** Empty only for a route with a port of its own, which then takes any name there. */
  readonly names: readonly NamePattern[];
  /** Protocol ids it serves; `null`: whatever no other route of its name does. */
  readonly alpn: readonly string[] | null;
  /** A hello without ALPN comes here even if the name has other routes. */
  readonly takesNoAlpn: boolean;
  /** Networks it may be reached from; `null`: any. */
  readonly sources: readonly Cidr[] | null;
  readonly client: ClientRule;
  /** What it shows its clients, PEM, whatever name they ask for; `null`: the certificate for that name. */
  readonly certificate: { readonly cert: string; readonly key: string } | null;
  /** PEM trust anchors for client certificates; empty only where `client` is `none`. */
  readonly anchors: readonly string[];
  readonly allow: readonly AllowRule[];
  /** The provider at which browsers without a certificate sign in; `null`: nowhere. */
  readonly login: string | null;
  /** Where its revocation lists come from. */
  readonly crl: readonly Source[];
  /** How long a connection may outlive its client's certificate, milliseconds; may be infinite. */
  readonly expiryGraceMs: number;
  /** A listener of its own beside the one port. */
  readonly port: number | null;
  /** `null` for the router's own app. */
  readonly upstream: Upstream | null;
  /** `null` where the adapter knows nothing of databases. */
  readonly database: DatabaseRules | null;
  /** `null` where the adapter speaks no HTTP. */
  readonly http: HttpRules | null;
  /** `null` where the adapter knows nothing of Kubernetes. */
  readonly kubernetes: KubernetesRules | null;
  readonly idleTimeoutMs: number;
  /** How long a connection may last in all; `null`: as long as it likes. */
  readonly sessionTimeoutMs: number | null;
  readonly maxConnections: number | null;
}

/** All that a route is, in one text: two with the same one are the same route. Holds its secrets. */
export const fingerprintOf = (route: Route): string =>
  JSON.stringify({ ...route, allow: route.allow.map(({ text }) => text) }, (_, value: unknown) =>
    value === Number.POSITIVE_INFINITY ? "without end" : value,
  );

/** Puts captured labels into a template such as `{node}.internal`. */
export const fillIn = (template: string, captures: Readonly<Record<string, string>>): string =>
  template.includes("{")
    ? template.replace(/\{([a-z][a-z0-9_]*)\}/g, (_, name: string) => captures[name] ?? "")
    : template;

/** The rules of a route whose adapter speaks HTTP: the configuration gives every such route some. */
export function httpRulesOf({ name, http }: Route): HttpRules {
  if (http === null) throw new TypeError(`route ${name} has no rules for HTTP`);
  return http;
}

/** The rules of a route to a Kubernetes API: the configuration gives every such route some. */
export function kubernetesRulesOf({ name, kubernetes }: Route): KubernetesRules {
  if (kubernetes === null) throw new TypeError(`route ${name} has no rules for Kubernetes`);
  return kubernetes;
}

/** The rules of a route whose adapter knows databases: the configuration gives every such route some. */
export function databaseRulesOf({ name, database }: Route): DatabaseRules {
  if (database === null) throw new TypeError(`route ${name} has no rules for databases`);
  return database;
}
