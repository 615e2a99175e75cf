import type { NamePattern, Route } from "../core/route.ts";
import type { ConfigProblem } from "../errors.ts";
import { publisherRules } from "../identity/publishers.ts";
import { parseNamePattern } from "./names.ts";
import type { Values } from "./variables.ts";

/** The routes that nobody configures as such; their names are not for users. */
export const ownRoutes = { app: "sallyport", tunnel: "sallyport-tunnel", peer: "sallyport-peer" } as const;

/** What the router's own routes have in common with those that are configured. */
export type OwnDefaults = Pick<
  Route,
  "idleTimeoutMs" | "expiryGraceMs" | "crl" | "allow" | "anchors" | "login"
>;

/**
 * The router's own app, served at SALLYPORT_HOST where there is a certificate for it.
 *
 * @param served whether a name has a certificate, or gets one
 */
export function appRoute(
  values: Values,
  defaults: OwnDefaults,
  served: (name: NamePattern) => boolean,
  problems: ConfigProblem[],
  warnings: string[],
): Route | null {
  const host = values.SALLYPORT_HOST ?? "";
  const pattern = parseNamePattern(host);
  if ("problem" in pattern || pattern.variables.length > 0) {
    problems.push({
      name: "SALLYPORT_HOST",
      message: `${JSON.stringify(host)} is no DNS name: expected one such as gate.example.com`,
    });
    return null;
  }
  if (!served(pattern)) {
    warnings.push(
      `no certificate for SALLYPORT_HOST (${pattern.text}): the router's own pages are not served`,
    );
    return null;
  }
  return {
    name: ownRoutes.app,
    variable: "SALLYPORT_HOST",
    scheme: "app",
    adapter: "app",
    terminates: true,
    names: [pattern],
    // Our own id is for our own commands, which it tells from a balancer; inside it is HTTP/1.1.
    alpn: ["h2", "http/1.1", "sallyport-auth"],
    takesNoAlpn: true,
    sources: null,
    ...defaults,
    client: defaults.anchors.length > 0 ? "optional" : "none",
    port: null,
    upstream: null,
    database: null,
    kubernetes: null,
    http: null,
    sessionTimeoutMs: null,
    maxConnections: null,
    certificate: null,
  };
}

/** Where agents come in: at the router's own name, once somebody may publish one. */
export function tunnelRoute(
  values: Values,
  defaults: OwnDefaults,
  app: Route | null,
  problems: ConfigProblem[],
): Route | null {
  const name = "SALLYPORT_TUNNEL_ALLOW";
  const rules = values[name];
  if (rules === null) return null;
  if (app === null)
    problems.push({ name, message: "agents come to SALLYPORT_HOST, for which there is no certificate" });
  if (defaults.anchors.length === 0)
    problems.push({ name, message: "agents show certificates: set SALLYPORT_CLIENT_CA" });
  if (app === null || defaults.anchors.length === 0) return null;
  return {
    ...app,
    ...defaults,
    name: ownRoutes.tunnel,
    variable: name,
    scheme: "tunnel",
    adapter: "tunnel",
    alpn: ["sallyport-tunnel"],
    takesNoAlpn: false,
    client: "required",
    login: null,
    allow: rules.map(({ rule }) => rule),
  };
}

/** An agent that nobody may publish can't be there, and a route through it would only look like one. */
export function checkAgents(routes: readonly Route[], values: Values, problems: ConfigProblem[]): void {
  const rules = values.SALLYPORT_TUNNEL_ALLOW;
  for (const { variable, upstream } of routes) {
    const via = upstream?.via ?? null;
    if (via === null) continue;
    if (rules === null)
      problems.push({
        name: variable,
        message: `via=${via} needs SALLYPORT_TUNNEL_ALLOW: nobody may publish agents`,
      });
    else if (!via.includes("{") && publisherRules(rules, via).length === 0)
      problems.push({
        name: variable,
        message: `via=${via}: SALLYPORT_TUNNEL_ALLOW lets nobody publish that agent`,
      });
  }
}
