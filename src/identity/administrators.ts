import type { Ip } from "../wire/ip.ts";
import type { Identity } from "./identity.ts";
import { type AllowRule, admittedBy, brokenLimit } from "./policy.ts";

/**
 * Whether somebody may see what the router does for others. Without rules nobody may. A certificate that is limited
 * to certain routes must name the router's own among them, and one that has run out is none, whatever open connections
 * are left.
 *
 * @param now milliseconds since 1970
 * @param ownRoute the name of the route that the router's own pages are served by
 */
export const administers = (
  rules: readonly AllowRule[],
  identity: Identity | null,
  source: Ip,
  ownRoute: string,
  now: number,
): boolean =>
  identity !== null &&
  now < Date.parse(identity.expires) &&
  rules.length > 0 &&
  admittedBy(rules, identity) !== null &&
  brokenLimit(identity, ownRoute, source) === null;
