import type { Identity } from "../identity/identity.ts";
import { admittedBy, brokenLimit } from "../identity/policy.ts";
import type { ClientVerifier, Presented } from "../identity/verifier.ts";
import { cidrContains, type Ip } from "../wire/ip.ts";
import type { Route } from "./route.ts";

/** Whose routes are asked for. */
export interface RouteUser {
  /** The certificates that came with the connection; `null` without any. */
  readonly presented: Presented | null;
  /** Who signed in with a browser, and at which provider; `null`: nobody. */
  readonly visitor: { readonly identity: Identity; readonly login: string } | null;
  readonly source: Ip;
}

/** The routes on the one port that would admit this user from this source, as they stand now. */
export async function usableRoutes(
  routes: readonly Route[],
  user: RouteUser,
  verifierFor: (route: Route) => ClientVerifier,
  now: number,
): Promise<Route[]> {
  const usable: Route[] = [];
  for (const route of routes) {
    if (route.upstream === null || route.names.length === 0) continue;
    if (route.sources !== null && !route.sources.some((cidr) => cidrContains(cidr, user.source))) continue;
    const isOpen = route.client === "none" && route.login === null;
    if (isOpen || (await admits(route, user, verifierFor, now))) usable.push(route);
  }
  return usable;
}

/** A route may have trust anchors and lists of its own: what is known of the certificate elsewhere is no answer here. */
async function admits(
  route: Route,
  { presented, visitor, source }: RouteUser,
  verifierFor: (route: Route) => ClientVerifier,
  now: number,
): Promise<boolean> {
  if (presented === null)
    return (
      visitor !== null && route.login === visitor.login && admittedBy(route.allow, visitor.identity) !== null
    );
  try {
    const { identity } = await verifierFor(route).verify(presented, now);
    return admittedBy(route.allow, identity) !== null && brokenLimit(identity, route.name, source) === null;
  } catch {
    return false;
  }
}
