import type { Connection, DialTarget, Runtime, TlsClientOptions, TlsConnection } from "../types.ts";
import { encodeProxyV1, encodeProxyV2, type ProxyFacts } from "../wire/proxy-protocol.ts";
import { fillIn, type Route, type UpstreamServer } from "./route.ts";
import type { SecureOptions } from "./session.ts";

/** A route's servers after captures. */
export function serversOf(
  { upstream }: Route,
  captures: Readonly<Record<string, string>>,
): readonly UpstreamServer[] {
  if (upstream === null) return [];
  return [upstream, ...upstream.others].map(({ host, port }) => ({ host: fillIn(host, captures), port }));
}

/** `host:port` after captures, for the record; with commas where there are several. */
export const upstreamText = (route: Route, captures: Readonly<Record<string, string>>): string =>
  serversOf(route, captures)
    .map(({ host, port }) => `${host.includes(":") ? `[${host}]` : host}:${port}`)
    .join(",");

/** The client's half of a handshake with a route's upstream; `null` where it speaks none. */
function upstreamTls(
  { upstream }: Route,
  captures: Readonly<Record<string, string>>,
  { certificate, alpn }: SecureOptions = {},
  host = upstream?.host ?? "",
): TlsClientOptions | null {
  if (upstream === null || upstream.tls.mode === "off") return null;
  const { serverName, mode, ca, cert, key } = upstream.tls;
  return {
    serverName: fillIn(serverName ?? host, captures),
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
 * A new connection to a server of a route's upstream, within the connect time. Throws a `Refusal`.
 *
 * @param secure what is asked for in it; `null`: no TLS, which the protocol begins later
 */
export function dialUpstream(
  runtime: Runtime,
  connectMs: number,
  route: Route,
  captures: Readonly<Record<string, string>>,
  server: UpstreamServer,
  secure: SecureOptions | null,
  facts: () => ProxyFacts,
): Promise<Connection> {
  const { upstream } = route;
  if (upstream === null) throw new TypeError(`route ${route.name} has no upstream`);
  const { sendProxy } = upstream;
  const tls = secure === null ? null : upstreamTls(route, captures, secure, server.host);
  const target: DialTarget = {
    host: server.host,
    port: server.port,
    withinMs: connectMs,
    ...(sendProxy === null
      ? {}
      : { preamble: sendProxy === "v1" ? encodeProxyV1(facts()) : encodeProxyV2(facts()) }),
    ...(tls === null ? {} : { tls }),
  };
  return runtime.dial(target);
}
