import type { HttpFields } from "../../../http/exchange.ts";
import type { AskedFor, Impersonated } from "../../../identity/impersonation.ts";

/** Many servers read an underscore as a dash. */
const dashed = (name: string): string => name.replaceAll("_", "-");

const impersonation = "impersonate-";
/** What an authenticating proxy in front of an API server says of its clients, which is then believed. */
const frontProxy = "x-remote-";
/** A token in the place of a protocol, for browsers, which can set no Authorization of a WebSocket. */
const bearerProtocol = "base64url.bearer.authorization.k8s.io.";

/** Who a client asks to act as; `null`: nobody else. A string says what is wrong with it. */
export function askedFor(fields: HttpFields): AskedFor | string | null {
  const asked = fields.filter(([name]) => dashed(name).startsWith(impersonation));
  if (asked.length === 0) return null;
  const other = asked.find(([name]) => name !== "impersonate-user" && name !== "impersonate-group");
  if (other !== undefined)
    return `${other[0]} does not pass: who may act as others, may as users and groups alone`;
  const [user, ...more] = asked.filter(([name]) => name === "impersonate-user").map(([, value]) => value);
  if (user === undefined) return "a group to act in, and no user to act as";
  if (more.length > 0) return "more than one user to act as";
  return { user, groups: asked.filter(([name]) => name === "impersonate-group").map(([, value]) => value) };
}

/** Protocols that are offered, without those that are a token. */
const withoutTokens = (offered: string): string =>
  offered
    .split(",")
    .map((one) => one.trim())
    .filter((one) => one !== "" && !one.toLowerCase().startsWith(bearerProtocol))
    .join(", ");

/**
 * A client's fields without what would say who is asking.
 *
 * @param forApp the request goes through the API server to an app, whose cookies these may be
 */
export function withoutCredentials(fields: HttpFields, forApp: boolean): HttpFields {
  return fields.flatMap(([field, value]) => {
    const name = dashed(field);
    if (name === "authorization" || name.startsWith(impersonation) || name.startsWith(frontProxy)) return [];
    if (name === "cookie" && !forApp) return [];
    if (name !== "sec-websocket-protocol") return [[field, value] as const];
    const offered = withoutTokens(value);
    return offered === "" ? [] : [[field, offered] as const];
  });
}

/** As octets of UTF-8, a character each, which is what a field is made of. */
const inOctets = (text: string): string => String.fromCharCode(...new TextEncoder().encode(text));

/** What an API server is told of whom to act as. */
export const impersonationFields = ({ user, groups, uid, extra }: Impersonated): HttpFields => [
  ["impersonate-user", inOctets(user)],
  ...groups.map((group) => ["impersonate-group", inOctets(group)] as const),
  ...(uid === null ? [] : ([["impersonate-uid", inOctets(uid)]] as const)),
  ...extra.map(
    ([key, value]) =>
      [`impersonate-extra-${encodeURIComponent(key).toLowerCase()}`, inOctets(value)] as const,
  ),
];
