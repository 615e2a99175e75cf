import type { Reason } from "../errors.ts";
import type { Identity } from "../identity/identity.ts";
import type { Endpoint, TlsConnection } from "../types.ts";
import type { AdmittedSession } from "./admitted-session.ts";
import type { Traffic } from "./live.ts";
import type { Match } from "./match.ts";
import { type ConnectionRecord, type Outcome, recorded } from "./record.ts";
import { endpointText } from "./source.ts";

/** What is known of a connection so far; `null` for what it did not come to. */
export interface Known {
  readonly id: string;
  readonly source: Endpoint;
  readonly listener: string;
  readonly hello: { readonly sni: string | null; readonly ja4: string } | null;
  readonly hit: Extract<Match, { ok: true }> | null;
  readonly tls: Pick<TlsConnection, "alpn" | "version" | "resumed"> | null;
  readonly session: AdmittedSession | null;
  readonly identity: Identity | null;
  readonly traffic: Traffic;
  /** By `performance.now()`. */
  readonly since: number;
}

/** Its record, were it over now. */
export function connectionRecord(
  { id, source, listener, hello, hit, tls, session, identity, traffic, since }: Known,
  {
    outcome,
    reason,
    detail,
  }: { readonly outcome: Outcome; readonly reason: Reason; readonly detail: string | null },
): ConnectionRecord {
  return {
    time: new Date().toISOString(),
    id,
    event: "connection",
    outcome,
    reason,
    source: endpointText(source),
    listener,
    sni: hello?.sni ?? null,
    alpn: hit?.alpn ?? tls?.alpn ?? null,
    tls: tls?.version ?? null,
    ja4: hello?.ja4 ?? null,
    resumed: tls?.resumed ?? false,
    route: hit?.route.name ?? null,
    adapter: hit?.route.adapter ?? null,
    upstream: session?.hasDialled === true ? session.upstream : null,
    database: session?.database ?? null,
    agent: session?.agent ?? null,
    software: session?.software ?? null,
    identity: identity === null ? null : recorded(identity),
    logins: session?.logins == null ? null : [...session.logins],
    bytes_in: traffic.bytesIn,
    bytes_out: traffic.bytesOut,
    duration_ms: Math.round(performance.now() - since),
    detail,
  };
}
