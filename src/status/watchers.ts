import type { Log } from "../observe/log.ts";

/** What a page shows, part by part: HTML by the id of the element it is in. */
export type Parts = ReadonlyMap<string, string>;

export interface WatcherCaps {
  readonly watchers: number;
  /** Of one identity. */
  readonly perIdentity: number;
}

/** Milliseconds, all of them. */
export interface WatcherTimes {
  /** How often watchers are told what has changed. */
  readonly every: number;
  /** Something goes out at least so often: a silent stream is taken for a broken one. */
  readonly alive: number;
  /** Then who watches is to ask anew: rules and logins are looked at with every request. */
  readonly longest: number;
  /** A watcher that takes nothing for so long is gone. */
  readonly stuck: number;
}

const usualTimes: WatcherTimes = { every: 2000, alive: 15_000, longest: 5 * 60_000, stuck: 60_000 };

interface Watcher {
  readonly who: string;
  /** When it is over, milliseconds since 1970. */
  readonly until: number;
  readonly controller: ReadableStreamDefaultController<Uint8Array>;
  /** What it was told. */
  readonly told: Map<string, string>;
  /** When it last took something. */
  lastMs: number;
}

const encoder = new TextEncoder();

/** One event of an event stream (HTML standard, § Server-sent events); JSON has no line breaks in it. */
const event = (name: string, data: unknown): string => `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

/**
 * Those who watch a page: each is told of the parts that have changed since it was last told. What is shown is made
 * once for all of them, and only while there are any.
 */
export class Watchers {
  readonly #caps: WatcherCaps;
  readonly #show: () => Promise<Parts>;
  readonly #log: Log;
  readonly #times: WatcherTimes;
  readonly #all = new Set<Watcher>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #showing = false;
  #closed = false;

  constructor(caps: WatcherCaps, show: () => Promise<Parts>, log: Log, times = usualTimes) {
    this.#times = times;
    this.#caps = caps;
    this.#show = show;
    this.#log = log;
  }

  get count(): number {
    return this.#all.size;
  }

  /**
   * An event stream for one more; `null` where there is no room.
   *
   * @param who is counted
   * @param expires when they may watch no longer, milliseconds since 1970
   */
  open(who: string, expires: number): ReadableStream<Uint8Array> | null {
    const own = [...this.#all].filter((one) => one.who === who).length;
    if (this.#closed || this.#all.size >= this.#caps.watchers || own >= this.#caps.perIdentity) return null;
    let watcher: Watcher | undefined;
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        const until = Math.min(expires, Date.now() + this.#times.longest);
        watcher = { who, until, controller, told: new Map(), lastMs: performance.now() };
        this.#all.add(watcher);
        void this.#tell();
      },
      cancel: () => {
        if (watcher !== undefined) this.#forget(watcher);
      },
    });
  }

  /** Ends all of them, for good. */
  close(): void {
    this.#closed = true;
    for (const watcher of this.#all) this.#end(watcher);
  }

  #forget(watcher: Watcher): void {
    this.#all.delete(watcher);
    if (this.#all.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #end(watcher: Watcher): void {
    this.#forget(watcher);
    watcher.controller.close();
  }

  async #tell(): Promise<void> {
    // Whoever comes meanwhile is told with the others, in a moment.
    if (this.#showing) return;
    this.#showing = true;
    clearTimeout(this.#timer);
    try {
      const parts = await this.#show();
      for (const watcher of this.#all) this.#tellOne(watcher, parts);
    } catch (error) {
      this.#log.error("the status page can't be shown", { error: String(error) });
      for (const watcher of this.#all) this.#end(watcher);
    }
    this.#showing = false;
    if (this.#all.size > 0) this.#timer = setTimeout(() => void this.#tell(), this.#times.every);
  }

  #tellOne(watcher: Watcher, parts: Parts): void {
    const { controller, told, until } = watcher;
    if (Date.now() >= until) {
      this.#end(watcher);
      return;
    }
    const now = performance.now();
    const silentMs = now - watcher.lastMs;
    // Who has not taken the last word gets the next one later, and all that changed meanwhile with it.
    if ((controller.desiredSize ?? 0) <= 0) {
      if (silentMs > this.#times.stuck) this.#end(watcher);
      return;
    }
    let text = "";
    for (const [id, html] of parts) {
      if (told.get(id) === html) continue;
      told.set(id, html);
      text += event("part", { id, html });
    }
    if (text === "" && silentMs < this.#times.alive) return;
    watcher.lastMs = now;
    controller.enqueue(encoder.encode(text === "" ? ": still here\n\n" : text));
  }
}
