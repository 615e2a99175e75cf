import type { Field, HttpFields } from "./exchange.ts";

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

/** What most connections say of themselves, and lists no field. */
const listsNone: ReadonlySet<string> = new Set(["keep-alive", "close", "Keep-Alive", "Close"]);

/** The fields that `Connection` lists; `null` where it lists none. */
function listedIn(fields: HttpFields): ReadonlySet<string> | null {
  let listed: Set<string> | null = null;
  for (const [name, value] of fields) {
    if (name !== "connection" || listsNone.has(value)) continue;
    listed ??= new Set();
    for (const token of value.split(",")) listed.add(token.trim().toLowerCase());
  }
  return listed;
}

/** Without what is for one hop only, and without what `leaves` says. One pass: every request and answer takes it. */
export function endToEnd(fields: HttpFields, leaves?: (name: string, value: string) => boolean): Field[] {
  const listed = listedIn(fields);
  const kept: Field[] = [];
  for (const field of fields) {
    const [name, value] = field;
    if (hopByHop.has(name) || listed?.has(name) === true || leaves?.(name, value) === true) continue;
    kept.push(field);
  }
  return kept;
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
