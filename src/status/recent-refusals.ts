import type { ConnectionRecord } from "../core/record.ts";
import type { Reason } from "../errors.ts";

/** Connections that came to nothing, for one and the same reason. */
export interface RecentRefusal {
  readonly outcome: ConnectionRecord["outcome"];
  readonly reason: Reason;
  /** When it happened last, ISO 8601. */
  readonly time: string;
  /** How often. */
  readonly count: number;
  /** Of the last one: `address:port`. */
  readonly source: string;
  readonly sni: string | null;
  readonly route: string | null;
  /** The subject of the client's certificate, where that was verified. */
  readonly subject: string | null;
  readonly detail: string | null;
}

/** Whoever is refused says some of it: no more of that is kept. */
const maxText = 300;
const cut = (text: string | null): string | null =>
  text !== null && text.length > maxText ? `${text.slice(0, maxText)}…` : text;

const withoutPort = (source: string): string => source.slice(0, source.lastIndexOf(":"));

/** The same are those of one reason, source address, name, route and identity. */
const keyOf = ({
  reason,
  sni,
  route,
  subject,
  source,
}: Pick<RecentRefusal, "reason" | "sni" | "route" | "subject" | "source">): string =>
  JSON.stringify([reason, sni, route, subject, withoutPort(source)]);

/** Those of several processes, the same ones counted together; the most recent first. */
export function counted(all: readonly RecentRefusal[]): readonly RecentRefusal[] {
  const found = new Map<string, RecentRefusal>();
  for (const one of [...all].sort((a, b) => b.time.localeCompare(a.time))) {
    const key = keyOf(one);
    const last = found.get(key) ?? one;
    found.set(key, last === one ? one : { ...last, count: last.count + one.count });
  }
  return [...found.values()];
}

/** The last connections that were refused or failed: as many as there is room for, the same ones counted together. */
export class RecentRefusals {
  readonly #room: number;
  /** The most recent at the end. */
  readonly #entries = new Map<string, RecentRefusal>();

  constructor(room: number) {
    this.#room = room;
  }

  take({ time, outcome, reason, source, sni, route, identity, detail }: ConnectionRecord): void {
    // Who goes away before anything came of it was not turned away: health checks of balancers do.
    if (outcome === "served" || reason === "client_closed") return;
    const subject = identity?.subject ?? null;
    const said = { outcome, reason, sni: cut(sni), route, subject: cut(subject), detail: cut(detail) };
    const key = keyOf({ ...said, source });
    const count = (this.#entries.get(key)?.count ?? 0) + 1;
    this.#entries.delete(key);
    this.#entries.set(key, { ...said, time, count, source });
    if (this.#entries.size <= this.#room) return;
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest);
      return;
    }
  }

  /** The most recent first. */
  get list(): readonly RecentRefusal[] {
    return [...this.#entries.values()].reverse();
  }
}
