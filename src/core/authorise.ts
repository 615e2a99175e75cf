import { Refusal } from "../errors.ts";
import { admittedBy, brokenLimit } from "../identity/policy.ts";
import type { ClientVerifier, VerifiedClient } from "../identity/verifier.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Endpoint, TlsConnection } from "../types.ts";
import type { Route } from "./route.ts";
import type { RouterParts } from "./router-parts.ts";
import { ipOf } from "./source.ts";

/**
 * Who the client of a finished handshake is, by its certificate: every connection anew, resumed ones too, since dates may
 * have come and revocations been made known since the session was made. `null` where it sent none and need not. Throws
 * a `Refusal`. At once where it was verified before.
 */
export function verifiedClient(
  { verifierFor, metrics }: Pick<RouterParts, "verifierFor" | "metrics">,
  route: Route,
  tls: TlsConnection,
): VerifiedClient | null | Promise<VerifiedClient> {
  const leaf = tls.peerLeaf();
  if (leaf === null) {
    if (route.client === "required" || (route.allow.length > 0 && route.login === null)) {
      throw new Refusal("client_cert_missing", "the client sent no certificate");
    }
    return null;
  }
  const verifier = verifierFor(route);
  const started = performance.now();
  const known = verifier.known(leaf, Date.now());
  if (known === null) return verified(verifier, leaf, tls, metrics, started);
  metrics.verify.observe((performance.now() - started) / 1000);
  return known;
}

async function verified(
  verifier: ClientVerifier,
  leaf: Uint8Array,
  tls: TlsConnection,
  metrics: Metrics,
  started: number,
): Promise<VerifiedClient> {
  try {
    return await verifier.verify({ leaf, chain: () => tls.peerChain() }, Date.now());
  } finally {
    metrics.verify.observe((performance.now() - started) / 1000);
  }
}

/** Whether the route lets it in, as the rules are now. Throws a `Refusal` where it does not. */
export function admit(route: Route, { identity }: VerifiedClient, source: Endpoint): void {
  if (admittedBy(route.allow, identity) === null) {
    throw new Refusal(
      "identity_not_allowed",
      `no allow rule of route ${route.name} admits ${identity.subject}`,
    );
  }
  const limit = brokenLimit(
    identity,
    route.upstream === null ? null : route.name,
    identity.sources === null ? null : ipOf(source),
  );
  if (limit !== null) throw new Refusal(limit.reason, `${identity.subject}: ${limit.detail}`);
}

/** What ends a connection whose client's certificate ran out, longer ago than the route bears with; else `null`. */
export function expiry({ expiryGraceMs }: Route, { notAfter }: VerifiedClient, now: number): Refusal | null {
  if (now <= notAfter + expiryGraceMs) return null;
  const detail = `its certificate expired at ${new Date(notAfter).toISOString()}`;
  return new Refusal("client_cert_expired", detail);
}
