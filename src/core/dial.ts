import type { Connection, DialTarget, Runtime } from "../types.ts";
import { encodeProxyV1, encodeProxyV2, type ProxyFacts } from "../wire/proxy-protocol.ts";
import { fillIn, type Route } from "./route.ts";

/** `host:port` after captures, for the record. */
export function upstreamText(route: Route, captures: Readonly<Record<string, string>>): string {
  if (route.upstream === null) return "";
  const host = fillIn(route.upstream.host, captures);
  return `${host.includes(":") ? `[${host}]` : host}:${route.upstream.port}`;
}

/** A new connection to a route's upstream, within the connect time. Throws a `Refusal`. */
export function dialUpstream(
  runtime: Runtime,
  connectMs: number,
  route: Route,
  captures: Readonly<Record<string, string>>,
  facts: ProxyFacts,
): Promise<Connection> {
  const { upstream } = route;
  if (upstream === null) throw new TypeError(`route ${route.name} has no upstream`);
  const host = fillIn(upstream.host, captures);
  const { tls, sendProxy } = upstream;
  const target: DialTarget = {
    host,
    port: upstream.port,
    withinMs: connectMs,
    ...(sendProxy === null
      ? {}
      : { preamble: sendProxy === "v1" ? encodeProxyV1(facts) : encodeProxyV2(facts) }),
    ...(tls.mode === "off"
      ? {}
      : {
          tls: {
            serverName: tls.serverName === null ? host : fillIn(tls.serverName, captures),
            verify: tls.mode === "verify",
            ca: tls.ca,
            cert: tls.cert,
            key: tls.key,
          },
        }),
  };
  return runtime.dial(target);
}
