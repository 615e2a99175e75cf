import type { HttpFields } from "../../http/exchange.ts";

/** Meant for one hop only (RFC 9110 §7.6.1), whatever `Connection` lists beside them. */
const hopByHop: ReadonlySet<string> = new Set([
  "connection",
  "proxy-connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "http2-settings",
]);

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

/** Without what is for one hop only. */
export function endToEnd(fields: HttpFields): HttpFields {
  const listed = new Set(
    fields
      .filter(([name]) => name === "connection")
      .flatMap(([, value]) => value.split(",").map((token) => token.trim().toLowerCase())),
  );
  return fields.filter(([name]) => !hopByHop.has(name) && !listed.has(name));
}

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

/** More HTTP behind the upgrade would reach the upstream unseen: other names, fields that only we may set. */
const otherHttp = /^(h2c?|h3|http|https|tls)(\/|$)/i;

/** The protocols that the client asks to switch to, as far as they are let through; `null` without any. */
export function upgradeAsked(fields: HttpFields): string | null {
  const asks = fields.some(
    ([name, value]) => name === "connection" && /(^|,)\s*upgrade\s*(,|$)/i.test(value),
  );
  if (!asks) return null;
  const tokens = fields
    .filter(([name]) => name === "upgrade")
    .flatMap(([, value]) => value.split(",").map((token) => token.trim()))
    .filter((token) => token !== "" && !otherHttp.test(token));
  return tokens.length === 0 ? null : tokens.join(", ");
}
