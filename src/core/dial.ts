import type { Connection, DialTarget, Runtime, TlsClientOptions, TlsConnection } from "../types.ts";
import { encodeProxyV1, encodeProxyV2, type ProxyFacts } from "../wire/proxy-protocol.ts";
import { fillIn, type Route } from "./route.ts";
import type { SecureOptions } from "./session.ts";

/** `host:port` after captures, for the record. */
export function upstreamText(route: Route, captures: Readonly<Record<string, string>>): string {
  if (route.upstream === null) return "";
  const host = fillIn(route.upstream.host, captures);
  return `${host.includes(":") ? `[${host}]` : host}:${route.upstream.port}`;
}

/** The client's half of a handshake with a route's upstream; `null` where it speaks none. */
function upstreamTls(
  { upstream }: Route,
  captures: Readonly<Record<string, string>>,
  { certificate, alpn }: SecureOptions = {},
): TlsClientOptions | null {
  if (upstream === null || upstream.tls.mode === "off") return null;
  const { serverName, mode, ca, cert, key } = upstream.tls;
  return {
    serverName: fillIn(serverName ?? upstream.host, captures),
    verify: mode === "verify",
    ca,
    cert: certificate?.cert ?? cert,
    key: certificate?.key ?? key,
    ...(alpn === undefined ? {} : { alpn }),
  };
}

/** TLS with a route's upstream, begun inside a protocol. Throws a `Refusal`. */
export function secureUpstream(
  runtime: Runtime,
  withinMs: number,
  route: Route,
  captures: Readonly<Record<string, string>>,
  connection: Connection,
  options?: SecureOptions,
): Promise<TlsConnection> {
  const tls = upstreamTls(route, captures, options);
  if (tls === null) throw new TypeError(`route ${route.name} has no TLS towards its upstream`);
  return runtime.secure(connection, tls, withinMs);
}

/**
 * A new connection to a route's upstream, within the connect time. Throws a `Refusal`.
 *
 * @param plain without TLS, which the protocol begins later
 */
export function dialUpstream(
  runtime: Runtime,
  connectMs: number,
  route: Route,
  captures: Readonly<Record<string, string>>,
  plain: boolean,
  facts: () => ProxyFacts,
): Promise<Connection> {
  const { upstream } = route;
  if (upstream === null) throw new TypeError(`route ${route.name} has no upstream`);
  const { sendProxy } = upstream;
  const tls = plain ? null : upstreamTls(route, captures);
  const target: DialTarget = {
    host: fillIn(upstream.host, captures),
    port: upstream.port,
    withinMs: connectMs,
    ...(sendProxy === null
      ? {}
      : { preamble: sendProxy === "v1" ? encodeProxyV1(facts()) : encodeProxyV2(facts()) }),
    ...(tls === null ? {} : { tls }),
  };
  return runtime.dial(target);
}
