import type { Crl } from "../identity/revocation/crl.ts";
import { type CrlRule, isGenuine, RevocationLists } from "../identity/revocation/lists.ts";
import type { KnownRevocations } from "../identity/revocation/revocation.ts";
import { sameBytes } from "../identity/same-bytes.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { download } from "./download.ts";
import { type ListFiles, listsIn, readSource, type Source } from "./read-lists.ts";
import { isOlder, type SharedRevocations, sameKind } from "./shared.ts";

/** Files are looked at this often: what is revoked is to be out in seconds. */
export const lookEveryMs = 1000;
const listLimits = { maxBytes: 32 * 1024 * 1024, withinMs: 10_000 };
const firstRetryMs = 5000;
const longestRetryMs = 5 * 60_000;
/** A list that is good for long is asked for anew all the same: revocations don't wait for its end. */
const longestRefreshMs = 60 * 60_000;

/** One source, and what it last gave. */
interface Origin {
  readonly source: Source;
  lists: readonly Crl[] | null;
  stamp: string | null;
  /** What was last said of it, so that it is said once. */
  problem: string | null;
  /** When a URL is asked again, milliseconds since 1970. */
  due: number;
  failures: number;
  asking: boolean;
}

/** What a source gave before and has no successor: more of it would only be there to fill the memory. */
const maxKept = 64;

/**
 * Of the lists that were there before, those that count beside new ones. What new ones say is nobody's word until
 * a path to their issuer shows it: one that is genuine stays until then, and a list that is left out stays too,
 * since an issuer without a list would be an issuer that revoked nobody.
 *
 * @param remote where anybody on the way may have put anything in its place
 */
function stillGood(before: readonly Crl[], lists: readonly Crl[], remote: boolean): readonly Crl[] {
  return before
    .filter((old) => {
      const same = lists.filter((list) => sameKind(list, old));
      if (lists.includes(old)) return false;
      return same.length > 0 || remote ? isGenuine(old) && !same.some(isGenuine) : true;
    })
    .slice(0, maxKept);
}

/** Keeps a set of revocation lists current: watches files, and asks URLs again before their lists end. */
export class RevocationFeed {
  readonly #origins: readonly Origin[];
  readonly #rule: CrlRule;
  readonly #files: ListFiles;
  readonly #known: KnownRevocations;
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #shared: SharedRevocations | null;

  /** @param shared what other routers have; `null` where there are none */
  constructor(
    sources: readonly Source[],
    rule: CrlRule,
    files: ListFiles,
    known: KnownRevocations,
    log: Log,
    metrics: Metrics,
    shared: SharedRevocations | null = null,
  ) {
    this.#shared = shared;
    this.#origins = sources.map((source) => ({
      source,
      lists: null,
      stamp: null,
      problem: null,
      due: 0,
      failures: 0,
      asking: false,
    }));
    this.#rule = rule;
    this.#files = files;
    this.#known = known;
    this.#log = log;
    this.#metrics = metrics;
  }

  /** Reads everything once. What can't be had is said, and asked for again. */
  async start(): Promise<void> {
    await Promise.all(this.#look(Date.now()));
    this.publish();
  }

  /** To be called every {@link lookEveryMs}. */
  tick(now: number): void {
    void Promise.all(this.#look(now));
    for (const { source, lists } of this.#origins) {
      // What came over the network is told on once it has turned out to be its issuer's word.
      for (const list of lists ?? []) if (source.kind !== "url" || isGenuine(list)) this.#shared?.tell(list);
      const end = endOf(lists ?? []);
      if (end !== null) this.#metrics.crlExpiry.set(Math.round((end - now) / 1000), source.name);
    }
  }

  #look(now: number): Promise<void>[] {
    return this.#origins.map(async (origin) => {
      if (origin.source.kind === "url") await this.#ask(origin, now);
      else this.#read(origin);
      const end = endOf(origin.lists ?? []);
      if (end !== null && end < now && origin.problem === null)
        this.#say(origin, `its list expired at ${new Date(end).toISOString()}`);
    });
  }

  #read(origin: Origin): void {
    const { source } = origin;
    const stamp = source.kind === "path" ? this.#files.stamp(source.name) : "text";
    if (stamp !== null && stamp === origin.stamp) return;
    if (stamp === null) {
      this.#say(origin, "there is no such file any more; what it last said still counts");
      return;
    }
    // Half a file, perhaps: once it is whole, its stamp is another one.
    origin.stamp = stamp;
    try {
      this.#take(origin, readSource(source, this.#files));
    } catch (error) {
      this.#failed(origin, error);
    }
  }

  async #ask(origin: Origin, now: number): Promise<void> {
    if (origin.source.kind !== "url" || origin.asking || now < origin.due) return;
    origin.asking = true;
    try {
      this.#take(origin, listsIn(await download(origin.source.url, listLimits)));
      origin.failures = 0;
      const end = endOf(origin.lists ?? []) ?? now;
      origin.due = now + Math.min(Math.max((end - now) / 2, lookEveryMs), longestRefreshMs) * jitter();
    } catch (error) {
      origin.due = now + Math.min(firstRetryMs * 2 ** origin.failures++, longestRetryMs) * jitter();
      this.#failed(origin, error);
    } finally {
      origin.asking = false;
    }
  }

  #take(origin: Origin, read: readonly Crl[]): void {
    const before = origin.lists ?? [];
    // Known ones as they are known: what was found out about them holds.
    const lists = read.map((list) => before.find((one) => sameBytes(one.raw, list.raw)) ?? list);
    const older = lists.find((list) =>
      before.some((one) => isGenuine(one) && sameKind(one, list) && isOlder(list, one)),
    );
    if (older !== undefined) {
      this.#failed(origin, new Error(`its list of ${older.issuer} is older than the one before`));
      return;
    }
    this.#metrics.crlRefresh.add(1, origin.source.name, "ok");
    if (origin.problem !== null) {
      origin.problem = null;
      this.#log.info("a revocation list is good again", { source: origin.source.name });
    }
    if (origin.lists !== null && lists.every((list) => before.includes(list))) return;
    origin.lists = [...lists, ...stillGood(before, lists, origin.source.kind === "url")];
    this.publish();
    const revoked = lists.reduce((sum, list) => sum + list.revoked.size, 0);
    this.#log.info("revocation lists were read", { source: origin.source.name, revoked });
  }

  #failed(origin: Origin, error: unknown): void {
    this.#metrics.crlRefresh.add(1, origin.source.name, "failed");
    this.#say(origin, error instanceof Error ? error.message : String(error));
  }

  #say(origin: Origin, problem: string): void {
    if (origin.problem === problem) return;
    origin.problem = problem;
    this.#log.error("a revocation list can't be had", {
      source: origin.source.name,
      problem,
      rule: this.#rule,
    });
  }

  /** Has everything count that is known now. */
  publish(): void {
    const own = this.#origins.flatMap((origin) => origin.lists ?? []);
    // Of issuers alone of which there is a list here: where there is none, nobody asked for any.
    const newer = (this.#shared?.lists ?? []).filter((list) => {
      const same = own.filter((one) => sameKind(one, list));
      return same.length > 0 && same.every((one) => isOlder(one, list));
    });
    const lists = [...own, ...newer];
    const unread = this.#shared?.unread ?? null;
    const missing = this.#origins.flatMap(({ source, lists: had }) => (had === null ? [source.name] : []));
    if (unread !== null) missing.push(unread);
    const remote = this.#origins.flatMap(({ source, lists: had }) =>
      source.kind === "url" && had !== null ? [had] : [],
    );
    this.#known.replaceLists(new RevocationLists(lists, this.#rule, missing, remote));
  }
}

const jitter = (): number => 0.8 + 0.2 * Math.random();

/** When the first of some lists ends, those with a newer one aside; `null` where there is none. */
function endOf(lists: readonly Crl[]): number | null {
  const newest = lists.filter(
    (list) => !lists.some((one) => sameKind(one, list) && one.thisUpdate > list.thisUpdate),
  );
  return newest.length === 0 ? null : Math.min(...newest.map(({ nextUpdate }) => nextUpdate));
}
