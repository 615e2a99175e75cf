import type { LimitReached } from "../limits/limit-reached.ts";
import type { Endpoint } from "../types.ts";
import { ticked } from "./clock.ts";
import { connectionId } from "./connection-id.ts";
import { connectionRecord } from "./connection-record.ts";
import { Progress } from "./progress.ts";
import type { RouterParts } from "./router-parts.ts";

/** A connection that was refused unread, before anything was made of it: as cheap as its record can be. */
export function recordTurnedAway(
  { audit, metrics, traces }: RouterParts,
  source: Endpoint,
  listener: string,
  { reason, limit, message }: LimitReached,
): void {
  const id = connectionId();
  const record = connectionRecord({
    // Spelled out: to spread it takes three times as long as all of this (Node 20).
    id,
    outcome: "refused",
    reason,
    source,
    listener,
    sni: null,
    ja4: null,
    hit: null,
    tls: null,
    session: null,
    identity: null,
    bytesIn: 0,
    bytesOut: 0,
    since: ticked(),
    detail: message,
  });
  audit(record);
  if (traces !== null) {
    const progress = new Progress();
    traces.began(id, progress.began);
    traces.ended(record, progress);
  }
  metrics.connections.add(1, "", record.outcome, reason);
  metrics.limited.add(1, limit);
}
