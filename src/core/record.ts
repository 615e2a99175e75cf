import type { Reason } from "../errors.ts";
import type { Identity } from "../identity/identity.ts";
import type { Asking } from "../peer/wire.ts";
import { nowText } from "./now-text.ts";
import type { Route } from "./route.ts";
import type { ApiRequest, ForwardedStream, PublishedAgent, Software, Statement } from "./session.ts";

export type Outcome = "served" | "refused" | "failed";

/** What records say of an identity. */
export type RecordedIdentity = Pick<
  Identity,
  "subject" | "spiffe" | "groups" | "serial" | "fingerprint" | "expires"
>;

export const recorded = ({
  subject,
  spiffe,
  groups,
  serial,
  fingerprint,
  expires,
}: Identity): RecordedIdentity => ({ subject, spiffe, groups, serial, fingerprint, expires });

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
  /** The session in a database, where there was one. */
  readonly database: DatabaseRecord | null;
  /** Where the connection is an agent's: what it says that it publishes. */
  readonly agent: PublishedAgent | null;
  /** What client and server say they are, where their protocol has them say it. */
  readonly software: Software | null;
  /** By the client's certificate; without one, who signed in first of those for whom requests were let in. */
  readonly identity: RecordedIdentity | null;
  /** The ids of the `login` records of all for whom requests were let in that had signed in; `null` without any. */
  readonly logins: readonly string[] | null;
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly duration_ms: number;
  readonly detail: string | null;
}

/** Which database was opened, as whom, and since when (ISO 8601). */
export interface DatabaseRecord {
  readonly user: string;
  /** Whom the client asked to be; `null` where it is the same. */
  readonly asked_user: string | null;
  readonly name: string | null;
  readonly started: string;
}

/** One statement on a route with `audit=statements`, written when its outcome is known. */
export interface StatementRecord {
  /** ISO 8601, when it was over. */
  readonly time: string;
  /** The connection's. */
  readonly id: string;
  readonly event: "statement";
  readonly route: string;
  readonly adapter: string;
  readonly subject: string | null;
  readonly user: string | null;
  readonly database: string | null;
  /** Cut where it is long. */
  readonly statement: string;
  /** How much was cut, in characters. */
  readonly cut: number;
  readonly outcome: "ok" | "error";
  /** The upstream's error code. */
  readonly error: string | null;
  readonly rows: number | null;
  readonly duration_ms: number;
}

/** Statements can be as long as what they store. */
const maxStatement = 4096;

export function statementRecord(
  { text, omitted = 0, error, rows, durationMs }: Statement,
  id: string,
  route: Route,
  identity: Identity | null,
  database: DatabaseRecord | null,
): StatementRecord {
  const statement = text.slice(0, maxStatement);
  return {
    time: nowText(),
    id,
    event: "statement",
    route: route.name,
    adapter: route.adapter,
    subject: identity?.subject ?? null,
    user: database?.user ?? null,
    database: database?.name ?? null,
    statement,
    cut: text.length - statement.length + omitted,
    outcome: error === null ? "ok" : "error",
    error,
    rows,
    duration_ms: Math.round(durationMs),
  };
}

/**
 * One request on a `kubernetes` route, written when it is over. One that goes on for long (a watch, a log that is
 * followed, a session in a container) has a `request_started` before that, when its answer begins.
 */
export interface RequestRecord {
  /** ISO 8601, when it was written. */
  readonly time: string;
  /** The connection's. */
  readonly id: string;
  readonly event: "request" | "request_started";
  readonly outcome: Outcome;
  readonly reason: Reason;
  readonly route: string;
  readonly adapter: string;
  readonly subject: string | null;
  readonly user: string | null;
  readonly groups: readonly string[];
  /** Whether the client asked to act as `user`, rather than being so by its certificate. */
  readonly asked: boolean;
  readonly verb: string;
  readonly group: string | null;
  readonly resource: string | null;
  readonly subresource: string | null;
  readonly namespace: string | null;
  readonly name: string | null;
  readonly path: string;
  readonly status: number | null;
  /** The API server's own id of it. */
  readonly audit_id: string | null;
  readonly duration_ms: number;
  readonly detail: string | null;
}

/** Names and paths are as long as a client likes. */
const maxText = 1024;

export function requestRecord(
  { over, refusal, path, name, namespace, auditId, durationMs, ...request }: ApiRequest,
  id: string,
  route: Route,
  identity: Identity | null,
): RequestRecord {
  const { verb, group, resource, subresource, user, groups, asked, status } = request;
  const reason = refusal?.reason ?? "ok";
  return {
    time: nowText(),
    id,
    event: over ? "request" : "request_started",
    outcome: outcomeOf(reason, true),
    reason,
    route: route.name,
    adapter: route.adapter,
    subject: identity?.subject ?? null,
    user,
    groups,
    asked,
    verb,
    group,
    resource: resource?.slice(0, maxText) ?? null,
    subresource: subresource?.slice(0, maxText) ?? null,
    namespace: namespace?.slice(0, maxText) ?? null,
    name: name?.slice(0, maxText) ?? null,
    path: path.slice(0, maxText),
    status,
    audit_id: auditId?.slice(0, maxText) ?? null,
    duration_ms: Math.round(durationMs),
    detail: refusal?.message ?? null,
  };
}

/** One stream that another router asked for, to an agent that is connected to this one; written when it is over. */
export interface ForwardedRecord {
  /** ISO 8601, when it was over. */
  readonly time: string;
  /** The client's connection's, in the audit log of the router that it came to. */
  readonly id: string;
  readonly event: "forwarded";
  readonly outcome: Outcome;
  readonly reason: Reason;
  /** The id of the connection of the other router that it came by. */
  readonly peer_connection: string;
  /** The subject of that router's certificate. */
  readonly peer: string | null;
  /** `agent/service`. */
  readonly upstream: string;
  /** The client, the route that admitted it and whom it is, by the other router's word; `null` where many share it. */
  readonly source: string | null;
  readonly route: string | null;
  readonly identity: Asking["identity"];
  readonly bytes_in: number;
  readonly bytes_out: number;
  readonly duration_ms: number;
  readonly detail: string | null;
}

/** @param id the other router's connection's; its certificate says who that is */
export function forwardedRecord(
  { target, bytesIn, bytesOut, refusal, durationMs }: ForwardedStream,
  id: string,
  identity: Identity | null,
): ForwardedRecord {
  const { agent, service, connection, asking } = target;
  const reason = refusal?.reason ?? "ok";
  return {
    time: nowText(),
    id: connection,
    event: "forwarded",
    outcome: outcomeOf(reason, true),
    reason,
    peer_connection: id,
    peer: identity?.subject ?? null,
    upstream: `${agent}/${service}`,
    source: asking?.source ?? null,
    route: asking?.route ?? null,
    identity: asking?.identity ?? null,
    bytes_in: bytesIn,
    bytes_out: bytesOut,
    duration_ms: Math.round(durationMs),
    detail: refusal?.message ?? null,
  };
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

/** What the router writes down of connections, and of what went on in them. */
export type RouterRecord = ConnectionRecord | StatementRecord | RequestRecord | ForwardedRecord;
