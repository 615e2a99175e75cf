import { admittedBy, brokenLimit } from "../identity/policy.ts";
import type { ClientVerifier, Presented } from "../identity/verifier.ts";
import { cidrContains, type Ip } from "../wire/ip.ts";
import type { Route } from "./route.ts";

/** Whose routes are asked for. */
export interface RouteUser {
  readonly presented: Presented;
  readonly source: Ip;
}

/** The routes on the one port that would admit this certificate from this source, as they stand now. */
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
    if (route.client === "none" || (await admits(route, user, verifierFor, now))) usable.push(route);
  }
  return usable;
}

/** A route may have trust anchors and lists of its own: what is known of the certificate elsewhere is no answer here. */
async function admits(
  route: Route,
  { presented, source }: RouteUser,
  verifierFor: (route: Route) => ClientVerifier,
  now: number,
): Promise<boolean> {
  try {
    const { identity } = await verifierFor(route).verify(presented, now);
    return admittedBy(route.allow, identity) !== null && brokenLimit(identity, route.name, source) === null;
  } catch {
    return false;
  }
}
