import type { Reason } from "../errors.ts";
import type { Identity } from "../identity/identity.ts";

export type Outcome = "served" | "refused" | "failed";

/** The audit record: one a connection, written when it ends or is refused. */
export interface ConnectionRecord {
  /** ISO 8601, when it ended. */
  readonly time: string;
  readonly id: string;
  readonly event: "connection";
  readonly outcome: Outcome;
  readonly reason: Reason;
  /** `address:port` of the client, behind a trusted PROXY header where there is one. */
  readonly source: string;
  /** `address:port` of the listener that accepted it. */
  readonly listener: string;
  readonly sni: string | null;
  readonly alpn: string | null;
  readonly tls: string | null;
  readonly ja4: string | null;
  readonly resumed: boolean;
  readonly route: string | null;
  readonly adapter: string | null;
  readonly upstream: string | null;
  readonly identity: Pick<
    Identity,
    "subject" | "spiffe" | "groups" | "serial" | "fingerprint" | "expires"
  > | null;
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly duration_ms: number;
  readonly detail: string | null;
}

/** Reasons that say the connection was turned away by a rule, rather than broken by somebody. */
const refusals: ReadonlySet<Reason> = new Set([
  "not_tls",
  "bad_client_hello",
  "handshake_timeout",
  "handshake_failed",
  "unknown_name",
  "no_protocol",
  "client_cert_missing",
  "client_cert_untrusted",
  "client_cert_expired",
  "client_cert_revoked",
  "client_cert_unfit",
  "identity_not_allowed",
  "source_not_allowed",
  "limit_reached",
  "proxy_header_invalid",
]);

export const outcomeOf = (reason: Reason, established: boolean): Outcome => {
  if (reason === "ok" || (reason === "client_closed" && established)) return "served";
  return refusals.has(reason) ? "refused" : "failed";
};
