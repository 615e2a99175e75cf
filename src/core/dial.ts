import { Refusal } from "../errors.ts";
import type { Connection, DialTarget, Runtime } from "../types.ts";
import { encodeProxyV1, encodeProxyV2, type ProxyFacts } from "../wire/proxy-protocol.ts";
import { deadline } from "./deadline.ts";
import { fillIn, type Route } from "./route.ts";

/** `host:port` after captures, for the record. */
export function upstreamText(route: Route, captures: Readonly<Record<string, string>>): string {
  if (route.upstream === null) return "";
  const host = fillIn(route.upstream.host, captures);
  return `${host.includes(":") ? `[${host}]` : host}:${route.upstream.port}`;
}

/** A new connection to a route's upstream, within the connect time. Throws a `Refusal`. */
export async function dialUpstream(
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
  const late = new AbortController();
  const timer = deadline(connectMs, () => {
    late.abort(
      new Refusal("upstream_unreachable", `${host}:${upstream.port}: no connection within ${connectMs} ms`),
    );
  });
  try {
    return await runtime.dial(target, late.signal);
  } catch (error) {
    throw late.signal.aborted ? late.signal.reason : error;
  } finally {
    timer.cancel();
  }
}
