import { z } from "zod";
import type { Log } from "../observe/log.ts";
import type { Client } from "./redis-link.ts";
import { dropScript, putScript } from "./scripts.ts";
import type { Seal } from "./seal.ts";
import type { SharedMap } from "./state.ts";

/** How long it is known that something was deleted: whoever was away for longer may bring it back. */
const deletedMs = 30 * 86_400_000;
/** Routers' clocks may be so far apart. */
const skewMs = 60_000;
/** More names, or longer values, are none of ours, or would fill the memory. */
const maxNames = 100_000;
const maxText = 16 << 20;
const scanCount = 500;

const record = z.object({
  name: z.string(),
  /** `null`: deleted. */
  value: z.unknown(),
  at: z.int().positive(),
  lastsMs: z.int().positive().nullable(),
});
type Record = z.output<typeof record>;

/** As others tell of it. */
const told = z.tuple([z.string(), z.string()]);

interface Entry<T> {
  readonly name: string;
  readonly value: T | undefined;
  /** When it was set, by the clock of whoever did, Unix milliseconds. */
  readonly at: number;
  readonly lastsMs: number | null;
  /** When it ends unless it is set again, by `performance.now()`. */
  until: number;
  /** As it stands in Redis; empty until it is sealed. */
  text: string;
  field: string;
}

/** How many of its commands wait for answers at once while much is told. */
const abreast = 100;

async function inTurns<T>(all: readonly T[], each: (one: T) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < all.length; i += abreast) await Promise.all(all.slice(i, i + abreast).map(each));
}

interface ReplicaParts<T> {
  /** Where it is in Redis, and what changes are told by. */
  readonly key: string;
  readonly schema: z.ZodType<T>;
  readonly seal: Seal;
  readonly log: Log;
  /** Rejects with `StateAway`. */
  readonly run: <R>(command: (client: Client) => Promise<R>) => Promise<R>;
  /** Whether it is there. */
  readonly isThere: () => boolean;
}

/**
 * A map that each router has whole, and Redis too: of two values of a name the one that was set later counts, so two
 * sides that were apart come to the same, whichever way they meet. Redis has only what is sealed.
 */
export class Replica<T> implements SharedMap<T> {
  readonly #parts: ReplicaParts<T>;
  readonly #byName = new Map<string, Entry<T>>();
  readonly #byField = new Map<string, Entry<T>>();
  readonly #callbacks: ((name: string, value: T | undefined) => void)[] = [];
  #refused = 0;

  constructor(parts: ReplicaParts<T>) {
    this.#parts = parts;
  }

  get key(): string {
    return this.#parts.key;
  }

  get(name: string): T | undefined {
    return this.#byName.get(name)?.value;
  }

  *entries(): IterableIterator<[string, T]> {
    for (const { name, value } of this.#byName.values()) if (value !== undefined) yield [name, value];
  }

  onChange(callback: (name: string, value: T | undefined) => void): void {
    this.#callbacks.push(callback);
  }

  set(name: string, value: T, lastsMs: number | null): Promise<void> {
    return this.#write(name, value, lastsMs);
  }

  async delete(name: string): Promise<void> {
    const known = this.#byName.get(name);
    if (known?.value === undefined) return;
    // Nobody brings back what would have ended by now.
    const { lastsMs } = known;
    await this.#write(name, undefined, lastsMs === null ? deletedMs : lastsMs + skewMs);
  }

  refresh(): Promise<void> {
    return this.#parts.run((client) => this.catchUp(client, false));
  }

  async ask(name: string): Promise<T | undefined> {
    const { seal, key, run } = this.#parts;
    const field = await seal.name(`${key} ${name}`);
    const text = await run((client) => client.hGet(key, field));
    if (text !== null && this.#byField.get(field)?.text !== text) await this.#hear(field, text, null);
    return this.get(name);
  }

  /**
   * Both ways, all of it: what Redis has and we don't, and what we have and it doesn't.
   *
   * @param wasAway nobody could have told meanwhile that something goes on
   */
  async catchUp(client: Client, wasAway: boolean): Promise<void> {
    const { key } = this.#parts;
    const there = new Set<string>();
    let cursor = "0";
    do {
      const page = await client.hScan(key, cursor, { COUNT: scanCount });
      cursor = String(page.cursor);
      for (const { field, value } of page.entries) {
        there.add(String(field));
        if (this.#byField.get(String(field))?.text !== String(value))
          await this.#hear(String(field), String(value), client);
      }
    } while (cursor !== "0" && there.size < maxNames);
    const now = performance.now();
    for (const entry of wasAway ? this.#byName.values() : [])
      entry.until = Math.max(entry.until, now + (entry.lastsMs ?? 0));
    await inTurns([...this.#byName.values()], async (entry) => {
      if (entry.text !== "" && !there.has(entry.field)) await this.#put(client, entry);
    });
  }

  /** All of it, as it stands in Redis or would. */
  *texts(): IterableIterator<readonly [field: string, text: string]> {
    for (const { field, text } of this.#byField.values()) yield [field, text];
  }

  /** What another process of this router has of it. */
  learn(field: string, text: string): Promise<void> {
    return this.#hear(field, text, null);
  }

  /** What another router tells. */
  async heard(message: string): Promise<void> {
    let parsed: unknown;
    try {
      parsed = JSON.parse(message);
    } catch {
      parsed = null;
    }
    const result = told.safeParse(parsed);
    if (result.success) await this.#hear(...result.data, null);
    else this.#refuse();
  }

  /** Forgets what has ended. */
  async sweep(): Promise<void> {
    const { run, key, isThere } = this.#parts;
    // Nobody could have told that it goes on.
    if (!isThere()) return;
    const now = performance.now();
    for (const entry of [...this.#byName.values()].filter(({ until }) => until < now)) {
      this.#byName.delete(entry.name);
      this.#byField.delete(entry.field);
      if (entry.value !== undefined) this.#tellHere(entry.name, undefined);
      const { field, text } = entry;
      await run((client) => client.eval(dropScript, { keys: [key], arguments: [field, text] })).catch(
        () => {},
      );
    }
  }

  async #write(name: string, value: T | undefined, lastsMs: number | null): Promise<void> {
    const { seal, key, run } = this.#parts;
    const known = this.#byName.get(name);
    if (known === undefined && this.#byName.size >= maxNames) {
      this.#parts.log.error("shared state: too much to keep", { what: key, most: maxNames });
      return;
    }
    const at = Math.max(Date.now(), (known?.at ?? 0) + 1);
    const until = performance.now() + (lastsMs ?? Number.POSITIVE_INFINITY);
    const entry: Entry<T> = { name, value, at, lastsMs, until, text: "", field: "" };
    this.#byName.set(name, entry);
    if (known !== undefined) this.#byField.delete(known.field);
    this.#tellHere(name, value);
    entry.field = await seal.name(`${key} ${name}`);
    const whole: Record = { name, value: value ?? null, at, lastsMs };
    entry.text = `${at}.${await seal.seal(key, whole)}`;
    if (this.#byName.get(name) !== entry) return;
    this.#byField.set(entry.field, entry);
    // Who is away hears of it when catching up.
    await run((client) => this.#put(client, entry)).catch(() => {});
  }

  async #put(client: Client, { field, at, text }: Entry<T>): Promise<void> {
    const { key } = this.#parts;
    const message = JSON.stringify([field, text]);
    await client.eval(putScript, { keys: [key], arguments: [field, String(at), text, key, message] });
  }

  /** @param client where it was read, if a later value of ours is to take its place */
  async #hear(field: string, text: string, client: Client | null): Promise<void> {
    const { key, seal, schema } = this.#parts;
    const [, at = "", sealed = ""] = /^(\d{1,16})\.(.*)$/.exec(text.length > maxText ? "" : text) ?? [];
    const opened = record.safeParse(await seal.open(key, sealed));
    if (!opened.success || String(opened.data.at) !== at) return this.#refuse();
    const { name, value, lastsMs } = opened.data;
    if (field !== (await seal.name(`${key} ${name}`))) return this.#refuse();
    const parsed = value === null ? undefined : schema.safeParse(value);
    if (parsed?.success === false) return this.#refuse();
    const left = lastsMs === null ? Number.POSITIVE_INFINITY : opened.data.at + lastsMs + skewMs - Date.now();
    if (left <= 0) return;
    const known = this.#byName.get(name);
    if (
      known !== undefined &&
      (known.at > opened.data.at || (known.at === opened.data.at && known.text >= text))
    ) {
      if (client !== null && known.text !== "" && known.text !== text) await this.#put(client, known);
      return;
    }
    if (known === undefined && this.#byName.size >= maxNames) return;
    const until = performance.now() + Math.min(lastsMs ?? left, left);
    const entry: Entry<T> = { name, value: parsed?.data, at: opened.data.at, lastsMs, until, text, field };
    this.#byName.set(name, entry);
    this.#byField.set(field, entry);
    this.#tellHere(name, entry.value);
  }

  #tellHere(name: string, value: T | undefined): void {
    for (const callback of this.#callbacks) callback(name, value);
  }

  /** Said once, and once more for each tenfold. */
  #refuse(): void {
    this.#refused++;
    if (Math.log10(this.#refused) % 1 !== 0) return;
    this.#parts.log.warn("shared state: something that no router of ours said, left aside", {
      what: this.#parts.key,
      times: this.#refused,
    });
  }
}
