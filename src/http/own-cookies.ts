import type { HttpFields } from "./exchange.ts";

/**
 * The cookie that says who has signed in. `__Host-` has browsers take it from this very host over TLS alone, for all
 * of its paths (RFC 6265bis §4.1.3.2).
 */
export const sessionCookie = "__Host-sallyport";

/** What the cookies of logins that are under way begin with. */
export const pendingPrefix = `${sessionCookie}-`;

/** What browsers keep of one cookie, its name included; they drop longer ones without a word. */
export const maxCookie = 4096;

/** Some read names without regard to case, and what has no name as a name. */
const isOurs = (pair: string): boolean =>
  pair
    .replace(/^[\s=]+/, "")
    .toLowerCase()
    .startsWith(sessionCookie.toLowerCase());

const pairsOf = (fields: HttpFields): readonly string[] =>
  fields
    .filter(([name]) => name === "cookie")
    .flatMap(([, value]) => value.split(";"))
    .map((pair) => pair.trim())
    .filter((pair) => pair !== "");

/** Our cookies in a request, by name; none that comes twice, of which nobody can say which one counts, or is too long. */
export function ownCookies(fields: HttpFields): ReadonlyMap<string, string> {
  const found = new Map<string, string | null>();
  for (const pair of pairsOf(fields)) {
    const [, name = "", value = ""] = /^([^=\s]+)=(\S*)$/.exec(pair) ?? [];
    if (name !== sessionCookie && !name.startsWith(pendingPrefix)) continue;
    found.set(name, found.has(name) || pair.length > maxCookie ? null : value);
  }
  return new Map([...found].flatMap(([name, value]) => (value === null ? [] : [[name, value]])));
}

/** A request's cookies in one field, as HTTP/1.1 has it (RFC 9113 §8.2.3), without ours; `null` where none is left. */
export function foreignCookies(fields: HttpFields): string | null {
  const values = fields.filter(([name]) => name === "cookie").map(([, value]) => value);
  if (values.length === 0) return null;
  const all = values.join("; ");
  // As they came, where there is nothing to take out.
  if (!all.toLowerCase().includes(sessionCookie.toLowerCase())) return all;
  const pairs = pairsOf(fields).filter((pair) => !isOurs(pair));
  return pairs.length === 0 ? null : pairs.join("; ");
}

/** Whether it would set one of our cookies. */
export const setsOwnCookie = (name: string, value: string): boolean => name === "set-cookie" && isOurs(value);

/** A field that sets one of our cookies; `0` seconds takes it back. */
export const setCookie = (name: string, value: string, seconds: number): readonly [string, string] => [
  "set-cookie",
  `${name}=${value}; Path=/; Max-Age=${seconds}; Secure; HttpOnly; SameSite=Lax`,
];
