import type { HttpFields } from "./exchange.ts";

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

/** Without what is for one hop only. */
export function endToEnd(fields: HttpFields): HttpFields {
  const listed = new Set(
    fields
      .filter(([name]) => name === "connection")
      .flatMap(([, value]) => value.split(",").map((token) => token.trim().toLowerCase())),
  );
  return fields.filter(([name]) => !hopByHop.has(name) && !listed.has(name));
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

/** Whether a request says that a body follows. */
export const announcesBody = (fields: HttpFields): boolean =>
  fields.some(
    ([name, value]) => name === "transfer-encoding" || (name === "content-length" && value !== "0"),
  );
