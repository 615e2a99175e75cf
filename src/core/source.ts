import { Refusal } from "../errors.ts";
import type { Connection, Endpoint } from "../types.ts";
import type { ClientHello } from "../wire/client-hello.ts";
import { type Cidr, cidrContains, type Ip, parseIp } from "../wire/ip.ts";
import { looksLike } from "../wire/not-tls.ts";
import { parseProxyHeader } from "../wire/proxy-protocol.ts";
import { inspect } from "./inspect.ts";
import type { Question } from "./match.ts";
import type { Route } from "./route.ts";

/** Whose PROXY headers are believed, and whether one must come. */
export interface ProxyProtocol {
  readonly mode: "off" | "optional" | "required";
  readonly from: readonly Cidr[];
}

const noAddress: Ip = [0, 0, 0, 0];

export const ipOf = ({ address }: Endpoint): Ip => parseIp(address) ?? noAddress;

/** What a hello asks of the routes; its source is read where one of them minds. */
export class HelloFrom implements Question {
  readonly serverName: string | null;
  readonly alpn: readonly string[];
  readonly own: Route | null;
  readonly #from: Endpoint;

  constructor({ serverName, alpn }: ClientHello, from: Endpoint, own: Route | null) {
    this.serverName = serverName;
    this.alpn = alpn;
    this.own = own;
    this.#from = from;
  }

  get source(): Ip {
    return ipOf(this.#from);
  }
}

/** Whether it is in one of these networks. */
export function isIn(networks: readonly Cidr[], who: Endpoint): boolean {
  if (networks.length === 0) return false;
  const ip = ipOf(who);
  return networks.some((cidr) => cidrContains(cidr, ip));
}

/** Whether whoever connects may do so for somebody else: a balancer, or one that sends PROXY headers. */
export function standsForOthers(
  remote: Endpoint,
  {
    proxyProtocol,
    forwardedFrom,
  }: { readonly proxyProtocol: ProxyProtocol; readonly forwardedFrom: readonly Cidr[] },
): boolean {
  return (proxyProtocol.mode !== "off" && isIn(proxyProtocol.from, remote)) || isIn(forwardedFrom, remote);
}

/** Whom a connection is from: its peer, or whom a PROXY header in front of it names. Throws a `Refusal`. */
export async function readSource(connection: Connection, { mode, from }: ProxyProtocol): Promise<Endpoint> {
  const listed = mode !== "off" && isIn(from, connection.remote);
  if (mode === "required" && !listed) {
    throw new Refusal(
      "proxy_header_invalid",
      "PROXY headers are required, and this source is not one of those believed",
    );
  }
  if (!listed) return connection.remote;
  const first = await inspect(connection, parseProxyHeader);
  if (first.kind === "ok") {
    connection.unread(first.head.subarray(first.used));
    // `local`: the balancer itself, with its own address.
    return first.value.source ?? connection.remote;
  }
  if (first.kind === "closed") throw new Refusal("client_closed", "closed before a PROXY header");
  if (mode === "required" || looksLike(first.head) === "proxy") {
    throw new Refusal("proxy_header_invalid", first.detail);
  }
  connection.unread(first.head);
  return connection.remote;
}

/** `address:port`, as records have it; in one piece: see `connectionId`. */
export const endpointText = ({ address, port }: Endpoint): string =>
  [address.includes(":") ? `[${address}]` : address, port].join(":");
