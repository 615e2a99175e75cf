import type { LimitReached } from "../limits/limit-reached.ts";
import type { Endpoint } from "../types.ts";
import { Progress } from "./progress.ts";
import type { RouterParts } from "./router-parts.ts";
import { endpointText } from "./source.ts";

/** A connection that was refused unread, before anything was made of it: as cheap as its record can be. */
export function recordTurnedAway(
  { audit, metrics, traces }: RouterParts,
  source: Endpoint,
  listener: string,
  { reason, limit, message }: LimitReached,
): void {
  const id = crypto.randomUUID();
  const record = {
    time: new Date().toISOString(),
    id,
    event: "connection",
    outcome: "refused",
    reason,
    source: endpointText(source),
    listener,
    sni: null,
    alpn: null,
    tls: null,
    ja4: null,
    resumed: false,
    route: null,
    adapter: null,
    upstream: null,
    database: null,
    agent: null,
    software: null,
    identity: null,
    logins: null,
    bytes_in: 0,
    bytes_out: 0,
    duration_ms: 0,
    detail: message,
  } as const;
  audit(record);
  if (traces !== null) {
    const progress = new Progress();
    traces.began(id, progress.began);
    traces.ended(record, progress);
  }
  metrics.connections.add(1, "", record.outcome, reason);
  metrics.limited.add(1, limit);
}
