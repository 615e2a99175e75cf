import type { Reason } from "../errors.ts";
import type { Identity } from "../identity/identity.ts";
import type { Endpoint, TlsConnection } from "../types.ts";
import type { AdmittedSession } from "./admitted-session.ts";
import { ticked } from "./clock.ts";
import type { Hit } from "./match.ts";
import { nowText } from "./now-text.ts";
import { type ConnectionRecord, type Outcome, recorded } from "./record.ts";
import { endpointText } from "./source.ts";

/** What is known of a connection so far; `null` for what it did not come to. */
export interface Known {
  readonly id: string;
  readonly outcome: Outcome;
  readonly reason: Reason;
  readonly source: Endpoint;
  readonly listener: string;
  readonly sni: string | null;
  readonly ja4: string | null;
  readonly hit: Hit | null;
  readonly tls: Pick<TlsConnection, "alpn" | "version" | "resumed"> | null;
  readonly session: AdmittedSession | null;
  readonly identity: Identity | null;
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** By `ticked`. */
  readonly since: number;
  readonly detail: string | null;
}

/** Its record, were it over now. */
export function connectionRecord(known: Known): ConnectionRecord {
  const { hit, tls, session, identity } = known;
  return {
    time: nowText(),
    id: known.id,
    event: "connection",
    outcome: known.outcome,
    reason: known.reason,
    source: endpointText(known.source),
    listener: known.listener,
    sni: known.sni,
    alpn: hit?.alpn ?? tls?.alpn ?? null,
    tls: tls?.version ?? null,
    ja4: known.ja4,
    resumed: tls?.resumed ?? false,
    route: hit?.route.name ?? null,
    adapter: hit?.route.adapter ?? null,
    upstream: session?.hasDialled === true ? session.upstream : null,
    database: session?.database ?? null,
    agent: session?.agent ?? null,
    software: session?.software ?? null,
    identity: identity === null ? null : recorded(identity),
    logins: session?.logins == null ? null : [...session.logins],
    bytes_in: known.bytesIn,
    bytes_out: known.bytesOut,
    duration_ms: Math.round(ticked() - known.since),
    detail: known.detail,
  };
}
