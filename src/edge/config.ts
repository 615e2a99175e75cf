import { schemes } from "../adapters/registry.ts";
import type { Environment } from "../config/environment.ts";
import { parseNamePattern } from "../config/names.ts";
import { expectedRouteName, routeName } from "../config/route-name.ts";
import { parseForwardedRoute } from "../config/route-url.ts";
import { routePrefix } from "../config/variables.ts";
import { RouteTable } from "../core/match.ts";
import { fillIn, type Route } from "../core/route.ts";
import { ConfigError, type ConfigProblem } from "../errors.ts";

/** Where a connection goes from the edge. */
export interface Origin {
  readonly hostname: string;
  readonly port: number;
}

export interface EdgeConfig {
  readonly table: RouteTable;
  /** The router that serves a route; for routes that pass TLS through, their own upstream. */
  originOf(route: Route, captures: Readonly<Record<string, string>>): Origin;
  /** Whether the origin is told the client's address by a PROXY header. */
  readonly sendProxy: boolean;
}

function routerOf(text: string | undefined, problems: ConfigProblem[]): Origin {
  const [, hostname, port = "8443"] = /^([A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(text ?? "") ?? [];
  if (hostname !== undefined && Number(port) > 0 && Number(port) < 65_536)
    return { hostname, port: Number(port) };
  problems.push({
    name: "SALLYPORT_ROUTER",
    message: "expected the router behind, such as gate.example.com:8443",
  });
  return { hostname: "", port: 0 };
}

/** The router's own pages and API, which are reached through the edge too. */
function ownPages(host: string, problems: ConfigProblem[]): Route[] {
  const pattern = parseNamePattern(host);
  if ("problem" in pattern || pattern.variables.length > 0) {
    problems.push({
      name: "SALLYPORT_HOST",
      message: "expected the router's own name, such as gate.example.com",
    });
    return [];
  }
  return [
    {
      name: "sallyport",
      variable: "SALLYPORT_HOST",
      scheme: "app",
      adapter: "app",
      terminates: true,
      names: [pattern],
      alpn: ["h2", "http/1.1", "sallyport-auth", "sallyport-tunnel"],
      takesNoAlpn: true,
      sources: null,
      client: "none",
      anchors: [],
      allow: [],
      login: null,
      crl: [],
      expiryGraceMs: 0,
      port: null,
      upstream: null,
      database: null,
      kubernetes: null,
      http: null,
      idleTimeoutMs: 0,
      sessionTimeoutMs: null,
      maxConnections: null,
      certificate: null,
    },
  ];
}

/** Reads a Worker's variables. Throws a `ConfigError` that lists everything that is wrong. */
export function edgeConfig(env: Environment): EdgeConfig {
  const problems: ConfigProblem[] = [];
  const router = routerOf(env.SALLYPORT_ROUTER, problems);
  const routes = ownPages(env.SALLYPORT_HOST ?? "", problems);
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith(routePrefix) || value === undefined || value === "") continue;
    const name = routeName(variable.slice(routePrefix.length));
    if (name === null) {
      problems.push({ name: variable, message: expectedRouteName });
      continue;
    }
    const route = parseForwardedRoute(variable, name, value, schemes, env);
    if ("message" in route) problems.push(route);
    // On a port of its own alone it is nothing for the one port.
    else if (route.names.length > 0) routes.push(route);
  }
  const sendProxy = env.SALLYPORT_SEND_PROXY ?? "off";
  if (sendProxy !== "off" && sendProxy !== "v2")
    problems.push({ name: "SALLYPORT_SEND_PROXY", message: "expected off or v2" });
  const table = new RouteTable(routes);
  for (const { first, second, detail } of table.conflicts())
    problems.push({ name: second.variable, message: `conflicts with ${first.variable}: ${detail}` });
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    table,
    sendProxy: sendProxy === "v2",
    originOf: (route, captures) =>
      route.terminates || route.upstream === null
        ? router
        : { hostname: fillIn(route.upstream.host, captures), port: route.upstream.port },
  };
}
