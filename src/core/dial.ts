import { Refusal } from "../errors.ts";
import type { Asking } from "../peer/wire.ts";
import type { ServiceTarget } from "../tunnel/agents.ts";
import type { Connection, Runtime, TlsClientOptions, TlsConnection } from "../types.ts";
import { encodeProxyV1, encodeProxyV2, type ProxyFacts } from "../wire/proxy-protocol.ts";
import { fillIn, type Route, type UpstreamServer } from "./route.ts";
import type { RouterParts } from "./router-parts.ts";
import type { SecureOptions, Session } from "./session.ts";

/** Those of routes whose servers are the same whatever was captured: most, for which they are put together once. */
const fixedServers = new WeakMap<Route, readonly UpstreamServer[]>();

/** A route's servers after captures. */
export function serversOf(
  route: Route,
  captures: Readonly<Record<string, string>>,
): readonly UpstreamServer[] {
  const { upstream } = route;
  if (upstream === null) return [];
  const known = fixedServers.get(route);
  if (known !== undefined) return known;
  const templates = [upstream, ...upstream.others];
  const servers = templates.map(({ host, port }) => ({ host: fillIn(host, captures), port }));
  if (templates.some(({ host }) => host.includes("{"))) return servers;
  fixedServers.set(route, servers);
  if (upstream.via?.includes("{") !== true)
    for (const server of servers) fixedServerTexts.set(server, textOf(route, captures, server));
  return servers;
}

/** Of the servers of those, where the agent is the same, too. */
const fixedServerTexts = new WeakMap<UpstreamServer, string>();

/** `host:port` of one server after captures; `agent/service` by way of an agent. */
export const serverText = (
  route: Route,
  captures: Readonly<Record<string, string>>,
  server: UpstreamServer,
): string => fixedServerTexts.get(server) ?? textOf(route, captures, server);

function textOf(
  { upstream }: Route,
  captures: Readonly<Record<string, string>>,
  { host, port }: UpstreamServer,
): string {
  const via = upstream?.via ?? null;
  if (via !== null) return `${fillIn(via, captures)}/${host}`;
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** Of routes whose servers and agent are the same whatever was captured. */
const fixedTexts = new WeakMap<Route, string>();

/** All servers of a route after captures, for the record, with commas where there are several. */
export function upstreamText(route: Route, captures: Readonly<Record<string, string>>): string {
  const known = fixedTexts.get(route);
  if (known !== undefined) return known;
  const text = serversOf(route, captures)
    .map((server) => serverText(route, captures, server))
    .join(",");
  if (fixedServers.has(route) && route.upstream?.via?.includes("{") !== true) fixedTexts.set(route, text);
  return text;
}

/** The same with the captures still in it; empty for the router's own. */
export function upstreamTemplate(route: Route): string {
  const named = route.names.flatMap(({ variables }) => variables.filter((name) => name !== null));
  return upstreamText(route, Object.fromEntries(named.map((name) => [name, `{${name}}`])));
}

/**
 * The origins of a route's HTTP servers after captures (RFC 6454 §6.2): `https` where TLS is spoken with them.
 * `agent/service` by way of one.
 */
export function originsOf(route: Route, captures: Readonly<Record<string, string>>): readonly string[] {
  const { upstream } = route;
  const [scheme, port] = upstream?.tls.mode === "off" ? ["http", 80] : ["https", 443];
  return upstreamText(route, captures)
    .split(",")
    .map((text) => {
      if ((upstream?.via ?? null) !== null) return text;
      const server = text.toLowerCase();
      return `${scheme}://${server.endsWith(`:${port}`) ? server.slice(0, -`:${port}`.length) : server}`;
    });
}

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

/** Whose upstream is dialled. */
export interface Dialling extends Pick<Session, "route" | "captures" | "id"> {
  /** For whom; `null` where many clients are to share it. */
  readonly asking: Asking | null;
  /** What a PROXY header says. */
  proxyFacts(): ProxyFacts;
}

/**
 * A new connection to a server of a route's upstream, within the connect time. Throws a `Refusal`.
 *
 * @param secure what is asked for in it; `null`: no TLS, which the protocol begins later
 */
export function dialUpstream(
  parts: Pick<RouterParts, "runtime" | "timeouts" | "openService">,
  who: Dialling,
  server: UpstreamServer,
  secure: SecureOptions | null,
): Promise<Connection> {
  const { route, captures, id } = who;
  const { upstream } = route;
  if (upstream === null) throw new TypeError(`route ${route.name} has no upstream`);
  const { sendProxy } = upstream;
  const tls = secure === null ? null : upstreamTls(route, captures, secure, server.host);
  const preamble =
    sendProxy === null
      ? null
      : sendProxy === "v1"
        ? encodeProxyV1(who.proxyFacts())
        : encodeProxyV2(who.proxyFacts());
  const { host, port } = server;
  const withinMs = parts.timeouts.connectMs;
  if (upstream.via !== null) {
    const agent = fillIn(upstream.via, captures);
    const target = { agent, service: host, connection: id, withinMs, asking: who.asking };
    return throughAgent(parts, target, preamble, tls);
  }
  // Most are plain: an object that is made of others costs more than the rest of this.
  if (preamble === null && tls === null) return parts.runtime.dial({ host, port, withinMs });
  return parts.runtime.dial({
    host,
    port,
    withinMs,
    ...(preamble === null ? {} : { preamble }),
    ...(tls === null ? {} : { tls }),
  });
}

/** The same by way of an agent: what a dial sends before it is ready goes over the stream. */
async function throughAgent(
  { runtime, openService }: Pick<RouterParts, "runtime" | "openService">,
  target: ServiceTarget,
  preamble: Uint8Array | null,
  tls: TlsClientOptions | null,
): Promise<Connection> {
  const until = performance.now() + target.withinMs;
  const stream = await openService(target);
  try {
    if (preamble !== null) await stream.write(preamble);
    if (tls === null) return stream;
    return await runtime.secure(stream, tls, Math.max(1, until - performance.now()));
  } catch (error) {
    stream.abort();
    if (error instanceof Refusal) throw error;
    throw new Refusal("upstream_unreachable", `agent ${target.agent}: the stream broke`, { cause: error });
  }
}
