import { certificatesFromPem } from "./authority/pem.ts";
import type { Config } from "./config/load.ts";
import type { Route } from "./core/route.ts";
import type { Revocation } from "./identity/revocation/revocation.ts";
import { type ClientVerifier, createClientVerifier } from "./identity/verifier.ts";

/** One verifier a set of anchors and revocation lists: routes that have both in common share what was verified. */
export function verifiers(
  config: Config,
  revocationOf: (route: Route) => Revocation | undefined,
): (route: Route) => ClientVerifier {
  const byAnchors = new Map<string, ClientVerifier>();
  const byRoute = new Map<Route, ClientVerifier>();
  for (const route of config.table.routes) {
    if (route.client === "none") continue;
    const key = JSON.stringify([route.anchors, route.crl]);
    let verifier = byAnchors.get(key);
    if (verifier === undefined) {
      verifier = createClientVerifier(route.anchors.flatMap(certificatesFromPem), {
        profile: config.profile,
        groups: config.groups,
        revocation: revocationOf(route),
      });
      byAnchors.set(key, verifier);
    }
    byRoute.set(route, verifier);
  }
  return (route) => {
    const verifier = byRoute.get(route);
    if (verifier === undefined) throw new TypeError(`route ${route.name} has no verifier`);
    return verifier;
  };
}
