import { serversOf, serverText, upstreamText } from "../core/dial.ts";
import { httpRulesOf, type Route, type UpstreamServer } from "../core/route.ts";
import type { HttpDial, HttpProtocol } from "../http/exchange.ts";
import type { Connection, Runtime } from "../types.ts";
import { BalancedClient, type ServerState } from "./balanced-client.ts";

/** A connection to one server of a route's upstream, where TLS offers these protocols. */
export type ServerDial = (server: UpstreamServer, alpn: readonly string[]) => Promise<Connection>;

/** Upstreams of one route that are remembered: more than one where its name captures. */
const maxPerRoute = 256;

/** What is spoken with a route's upstream: with TLS what it chooses, without it what the scheme says. */
function protocolOf({ scheme, upstream, kubernetes }: Route): HttpProtocol {
  // A group is a field of its own in HTTP/1.1, where libraries for HTTP/2 join them; and API servers switch to SPDY
  // and WebSocket from HTTP/1.1 alone.
  if (kubernetes !== null) return "http/1.1";
  if (upstream?.tls.mode !== "off") return "negotiated";
  return scheme === "h2c" ? "h2" : "http/1.1";
}

/**
 * HTTP to the servers of a route's upstream, over connections that `dial` makes.
 *
 * @param processes share what the route lets be under way at a server
 */
export function balancedClient(
  runtime: Runtime,
  waitMs: number,
  route: Route,
  captures: Readonly<Record<string, string>>,
  dial: ServerDial,
  processes = 1,
): BalancedClient {
  const protocol = protocolOf(route);
  const { maxRequests } = httpRulesOf(route);
  return new BalancedClient(
    serversOf(route, captures).map((server) => {
      const dialServer: HttpDial = (alpn) => dial(server, alpn);
      return [serverText(route, captures, server), runtime.httpClient(protocol, dialServer)] as const;
    }),
    { maxRequests: Math.max(1, Math.floor(maxRequests / processes)), waitMs },
  );
}

/** The upstreams that HTTP is spoken with, and what is known of their servers: one for all clients of a route. */
export class HttpUpstreams {
  /** How many processes have some for the same routes. */
  readonly processes: number;
  readonly #byRoute = new Map<Route, Map<string, BalancedClient>>();

  constructor(processes: number) {
    this.processes = processes;
  }

  for(route: Route, captures: Readonly<Record<string, string>>, make: () => BalancedClient): BalancedClient {
    const upstreams = this.#byRoute.get(route) ?? new Map<string, BalancedClient>();
    this.#byRoute.set(route, upstreams);
    // Captures may stand in the name that is asked for in TLS, too.
    const key = `${upstreamText(route, captures)} ${JSON.stringify(captures)}`;
    const known = upstreams.get(key);
    if (known !== undefined) return known;
    const made = make();
    upstreams.set(key, made);
    if (upstreams.size > maxPerRoute) forgetIdle(upstreams, made);
    return made;
  }

  /** How the servers of a route are doing, as far as anybody has asked for them. */
  states(route: Route): readonly ServerState[] {
    return [...(this.#byRoute.get(route)?.values() ?? [])].flatMap(({ states }) => states);
  }

  /** Closes the connections to upstreams of routes that are out of use. */
  keepOnly(inUse: (route: Route) => boolean): void {
    for (const [route, upstreams] of this.#byRoute) {
      if (inUse(route)) continue;
      for (const client of upstreams.values()) client.close();
      this.#byRoute.delete(route);
    }
  }

  close(): void {
    for (const upstreams of this.#byRoute.values()) for (const client of upstreams.values()) client.close();
    this.#byRoute.clear();
  }
}

function forgetIdle(upstreams: Map<string, BalancedClient>, except: BalancedClient): void {
  for (const [key, client] of upstreams) {
    if (client === except || client.active > 0) continue;
    client.close();
    upstreams.delete(key);
    return;
  }
}
