import { type DenyList, nobody, parseDenyList } from "../identity/revocation/deny-list.ts";
import { type CrlRule, RevocationLists } from "../identity/revocation/lists.ts";
import { KnownRevocations } from "../identity/revocation/revocation.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { lookEveryMs, RevocationFeed } from "./feed.ts";
import { OcspClient, type OcspSettings } from "./ocsp.ts";
import type { ListFiles, Source } from "./read-lists.ts";

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

/** All that is known of revoked certificates, for every set of sources that routes have. */
export class RevocationWatch {
  readonly #settings: RevocationSettings;
  readonly #files: ListFiles;
  readonly #log: Log;
  readonly #metrics: Metrics;
  readonly #bySources = new Map<string, Watched>();
  readonly #responders: OcspClient | null;
  #denied: DenyList = nobody;
  #denyStamp: string | null = null;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(settings: RevocationSettings, files: ListFiles, log: Log, metrics: Metrics) {
    this.#settings = settings;
    this.#files = files;
    this.#log = log;
    this.#metrics = metrics;
    this.#responders = settings.ocsp === null ? null : new OcspClient(settings.ocsp, log, metrics);
    this.#readDenied();
  }

  /** What is known by these sources; `undefined` where there is nothing that could revoke. */
  of(sources: readonly Source[]): KnownRevocations | undefined {
    if (sources.length === 0 && this.#settings.deny === null && this.#responders === null) return undefined;
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
      const feed = new RevocationFeed(sources, rule, this.#files, known, this.#log, this.#metrics);
      entry = { known, feed, started: false };
      this.#bySources.set(key, entry);
    }
    return entry.known;
  }

  /** Whom the operator denies, as it stands now. */
  get denied(): DenyList {
    return this.#denied;
  }

  /** Reads once what was not read yet, then all of it again and again. */
  async start(): Promise<void> {
    const entries = [...this.#bySources.values()].filter(({ started }) => !started);
    for (const entry of entries) entry.started = true;
    await Promise.all(entries.map(({ feed }) => feed.start()));
    if (this.#bySources.size === 0 && this.#settings.deny === null) return;
    this.#timer ??= setInterval(() => {
      this.#readDenied();
      for (const { feed } of this.#bySources.values()) feed.tick(Date.now());
    }, lookEveryMs);
  }

  /** Looks no longer at sources that are none of these. */
  keepOnly(used: readonly (readonly Source[])[]): void {
    const keys = new Set(used.map((sources) => JSON.stringify(sources)));
    for (const key of this.#bySources.keys()) if (!keys.has(key)) this.#bySources.delete(key);
  }

  stop(): void {
    clearInterval(this.#timer);
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
      this.#denied = list;
      for (const { known } of this.#bySources.values()) known.replaceDenied(list);
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      this.#log.error("the deny list can't be read; what it last said still counts", { path, problem });
    }
  }
}
