import type { HttpFields } from "../../http/exchange.ts";
import { endToEnd } from "../../http/hop-by-hop.ts";

/** What only we may tell an upstream about the client: the peer's own copies are dropped. */
const ours: ReadonlySet<string> = new Set([
  "forwarded",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-proto",
  "x-forwarded-server",
  "x-forwarded-client-cert",
  "x-real-ip",
  "true-client-ip",
  "client-cert",
  "client-cert-chain",
]);

/** Many servers read `X_Forwarded_For` as `X-Forwarded-For`: both are the same name here. */
const isOurs = (name: string): boolean => {
  const dashed = name.replaceAll("_", "-");
  return ours.has(dashed) || dashed.startsWith("sallyport-");
};

export interface Forwarding {
  /** The client's address. */
  readonly address: string;
  /** The name it asked for, port included if it gave one. */
  readonly host: string;
  /** The port it reached us on. */
  readonly port: number;
}

/** The client's fields as they go to the upstream: hop-by-hop ones and spoofed ones gone, ours in their place. */
export function forwardedFields(fields: HttpFields, about: Forwarding): HttpFields {
  const node = about.address.includes(":") ? `"[${about.address}]"` : about.address;
  const host = about.host.includes(":") ? `"${about.host}"` : about.host;
  return [
    ...endToEnd(fields).filter(([name]) => name !== "host" && name !== "expect" && !isOurs(name)),
    ["forwarded", `for=${node};host=${host};proto=https`],
    ["x-forwarded-for", about.address],
    ["x-forwarded-host", about.host],
    ["x-forwarded-port", String(about.port)],
    ["x-forwarded-proto", "https"],
  ];
}
