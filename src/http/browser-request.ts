import type { HttpFields, HttpRequest } from "./exchange.ts";
import { isFromElsewhere } from "./origin.ts";

const fieldOf = (fields: HttpFields, wanted: string): string | undefined =>
  fields.find(([name]) => name === wanted)?.[1];

/** Whether somebody looks at a page, whom a redirect takes elsewhere and back: browsers say so (Fetch Metadata). */
export function isNavigation({ method, fields }: HttpRequest): boolean {
  if (method !== "GET" && method !== "HEAD") return false;
  const mode = fieldOf(fields, "sec-fetch-mode");
  if (mode !== undefined) return mode === "navigate";
  return /(^|,)\s*text\/html\s*(;|,|$)/i.test(fieldOf(fields, "accept") ?? "");
}

/** RFC 9110 §9.2.1. */
const safe: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE"]);

/**
 * Whether a request that brings a cookie may have been made by another site, without whom its cookie speaks for
 * knowing. Browsers say which origin makes a request that changes something, or opens a WebSocket: one that says
 * nothing is believed nothing.
 *
 * @param here the origin that is asked, such as `https://app.example.com`
 */
export function isForgeable({ method, fields }: HttpRequest, switches: boolean, here: string): boolean {
  if (safe.has(method) && !switches) return false;
  const saysSite = fields.some(([name]) => name === "sec-fetch-site");
  // A form on a page with `Referrer-Policy: no-referrer` has the origin `null`, and says which site it is of all the same.
  const said = saysSite ? fields.filter(([name, value]) => name !== "origin" || value !== "null") : fields;
  const says = saysSite || fields.some(([name]) => name === "origin");
  return !says || isFromElsewhere(said, here);
}
