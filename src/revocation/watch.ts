import { type DenyList, nobody, parseDenyList } from "../identity/revocation/deny-list.ts";
import { type CrlRule, RevocationLists } from "../identity/revocation/lists.ts";
import { KnownRevocations } from "../identity/revocation/revocation.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { lookEveryMs, RevocationFeed } from "./feed.ts";
import { OcspClient, type OcspSettings } from "./ocsp.ts";
import type { ListFiles, Source } from "./read-lists.ts";
import type { SharedRevocations } from "./shared.ts";

/** What a router revokes by; every part is watched while it runs. */
export interface RevocationSettings {
  readonly rule: CrlRule;
  /** The path of the deny list. */
  readonly deny: string | null;
  /** `null`: responders are not asked. */
  readonly ocsp: OcspSettings | null;
}

interface Watched {
  readonly known: KnownRevocations;
  readonly feed: RevocationFeed;
  started: boolean;
}

const together = (a: DenyList, b: DenyList): DenyList => ({
  serials: new Set([...a.serials, ...b.serials]),
  hashes: new Set([...a.hashes, ...b.hashes]),
});

/** All that is known of revoked certificates, for every set of sources that routes have. */
export class RevocationWatch {
  readonly #settings: RevocationSettings;
  readonly #files: ListFiles;
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #bySources = new Map<string, Watched>();
  readonly #responders: OcspClient | null;
  readonly #shared: SharedRevocations | null;
  /** Whom the operator's file denies. */
  #own: DenyList = nobody;
  #denied: DenyList = nobody;
  #denyStamp: string | null = null;
  /** What the file was when it had lost entries at the last look. */
  #lessStamp: string | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;

  /** @param shared what other routers know; `null` where there are none */
  constructor(
    settings: RevocationSettings,
    files: ListFiles,
    log: Log,
    metrics: Metrics,
    shared: SharedRevocations | null = null,
  ) {
    this.#shared = shared;
    this.#settings = settings;
    this.#files = files;
    this.#log = log;
    this.#metrics = metrics;
    this.#responders = settings.ocsp === null ? null : new OcspClient(settings.ocsp, log, metrics);
    this.#readDenied();
    shared?.onChange(() => {
      this.#publishDenied();
      for (const { feed } of this.#bySources.values()) feed.publish();
    });
  }

  /** What is known by these sources; `undefined` where there is nothing that could revoke. */
  of(sources: readonly Source[]): KnownRevocations | undefined {
    const nothing = this.#settings.deny === null && this.#responders === null && this.#shared === null;
    if (sources.length === 0 && nothing) return undefined;
    const key = JSON.stringify(sources);
    let entry = this.#bySources.get(key);
    if (entry === undefined) {
      const { rule } = this.#settings;
      const missing = sources.map(({ name }) => name);
      const known = new KnownRevocations(
        new RevocationLists([], rule, missing),
        this.#denied,
        this.#responders,
      );
      const feed = new RevocationFeed(
        sources,
        rule,
        this.#files,
        known,
        this.#log,
        this.#metrics,
        this.#shared,
      );
      entry = { known, feed, started: false };
      this.#bySources.set(key, entry);
    }
    return entry.known;
  }

  /** Whom the operator denies, here or at another router, as it stands now. */
  get denied(): DenyList {
    return this.#denied;
  }

  /** Reads once what was not read yet, then all of it again and again. */
  async start(): Promise<void> {
    const entries = [...this.#bySources.values()].filter(({ started }) => !started);
    for (const entry of entries) entry.started = true;
    await Promise.all(entries.map(({ feed }) => feed.start()));
    if (this.#bySources.size === 0 && this.#settings.deny === null) return;
    this.#timer ??= setInterval(() => this.tick(Date.now()), lookEveryMs);
  }

  /** Looks at everything once. */
  tick(now: number): void {
    this.#readDenied();
    for (const { feed } of this.#bySources.values()) feed.tick(now);
  }

  /** Looks no longer at sources that are none of these. */
  keepOnly(used: readonly (readonly Source[])[]): void {
    const keys = new Set(used.map((sources) => JSON.stringify(sources)));
    for (const key of this.#bySources.keys()) if (!keys.has(key)) this.#bySources.delete(key);
  }

  stop(): void {
    this.#shared?.stop();
    clearInterval(this.#timer);
  }

  /**
   * What the file says, once it has said so at two looks in a row where that is less than before: whoever writes it in
   * place empties it first, and nobody is let in, here or at another router, while that takes. What is new counts at once.
   */
  #settled(list: DenyList, stamp: string | null): DenyList {
    const lost = [...this.#own.serials].some((one) => !list.serials.has(one));
    const isLess = lost || [...this.#own.hashes].some((one) => !list.hashes.has(one));
    if (!isLess || stamp === this.#lessStamp) {
      this.#lessStamp = null;
      return list;
    }
    this.#lessStamp = stamp;
    this.#denyStamp = null;
    return together(this.#own, list);
  }

  #publishDenied(): void {
    this.#denied = together(this.#own, this.#shared?.denied ?? nobody);
    for (const { known } of this.#bySources.values()) known.replaceDenied(this.#denied);
  }

  #readDenied(): void {
    const path = this.#settings.deny;
    if (path === null) return;
    const stamp = this.#files.stamp(path);
    if (stamp === this.#denyStamp) return;
    this.#denyStamp = stamp;
    try {
      const list = parseDenyList(new TextDecoder().decode(this.#files.readBytes(path)));
      if ("malformed" in list) throw new Error(list.malformed);
      this.#own = this.#settled(list, stamp);
      this.#shared?.deny(this.#own);
      this.#publishDenied();
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      this.#log.error("the deny list can't be read; what it last said still counts", { path, problem });
    }
  }
}
