import type { Field, HttpFields } from "../../http/exchange.ts";
import { endToEnd } from "../../http/hop-by-hop.ts";
import { foreignCookies } from "../../http/own-cookies.ts";
import type { CertificateIdentity } from "../../identity/identity.ts";
import { clientCertificateField } from "./client-certificate-field.ts";

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
  const dashed = name.includes("_") ? name.replaceAll("_", "-") : name;
  return ours.has(dashed) || dashed.startsWith("sallyport-");
};

export interface Forwarding {
  /** The client's address. */
  readonly address: string;
  /** The name it asked for, port included if it gave one. */
  readonly host: string;
  /** The port it reached us on. */
  readonly port: number;
  /** Whom its certificate names; `null` without one, or where the upstream is not told. */
  readonly client: CertificateIdentity | null;
  /** The URIs of the certificate that it was shown. */
  readonly by: readonly string[];
  /** Who is calling, signed; `null` where nobody can say so. */
  readonly assertion: string | null;
}

const tokenOnly = /^[A-Za-z0-9._~-]+$/;

/** Said in fields that are made anew for the upstream. */
const madeAnew: ReadonlySet<string> = new Set(["host", "expect", "cookie"]);

const saidAnew = (name: string): boolean => madeAnew.has(name) || isOurs(name);

const takesTrailers = ([name, value]: Field): boolean =>
  name === "te" && /(^|,)\s*trailers\s*(,|$)/i.test(value);

/**
 * The client's fields as they go to the upstream: hop-by-hop ones and spoofed ones gone, ours in their place. All that
 * an upstream is told of a request in fields is told here.
 */
export function forwardedFields(fields: HttpFields, about: Forwarding): HttpFields {
  const node = about.address.includes(":") ? `"[${about.address}]"` : about.address;
  // Whatever a host may hold ends no value there: neither a quote nor a backslash stands in one (RFC 7239 §4).
  const host = tokenOnly.test(about.host) ? about.host : `"${about.host}"`;
  const forwarded = endToEnd(fields, saidAnew);
  // Whoever has a session's cookie is who signed in: it stays here.
  const cookies = foreignCookies(fields);
  if (cookies !== null) forwarded.push(["cookie", cookies]);
  // For this hop, but true of it as well: trailers go all the way. gRPC servers insist on it.
  if (fields.some(takesTrailers)) forwarded.push(["te", "trailers"]);
  forwarded.push(
    ["forwarded", `for=${node};host=${host};proto=https`],
    ["x-forwarded-for", about.address],
    ["x-forwarded-host", about.host],
    ["x-forwarded-port", String(about.port)],
    ["x-forwarded-proto", "https"],
  );
  if (about.client !== null)
    forwarded.push(["x-forwarded-client-cert", clientCertificateField(about.client, about.by)]);
  if (about.assertion !== null) forwarded.push(["sallyport-identity", about.assertion]);
  return forwarded;
}

/** What must be known before a body is read, or says who somebody is, has no place behind it (RFC 9110 §6.5.1). */
const notBehind: ReadonlySet<string> = new Set([
  "authorization",
  "cache-control",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "cookie",
  "expect",
  "host",
  "max-forwards",
  "set-cookie",
  "www-authenticate",
]);

/** Trailers as they go on, either way. */
export const forwardedTrailers = (fields: HttpFields): HttpFields =>
  endToEnd(fields).filter(
    ([name]) => !notBehind.has(name) && !name.startsWith("impersonate-") && !isOurs(name),
  );
