import { z } from "zod";
import type { TokenRate } from "../limits/token-buckets.ts";
import type { Log } from "../observe/log.ts";
import { type Client, RedisLink, type StateSettings } from "./redis-link.ts";
import { Replica } from "./replica.ts";
import { holdScript, leaseScript, rateScript } from "./scripts.ts";
import { Seal } from "./seal.ts";
import { type Away, type KnownValue, type SharedMap, type SharedState, StateAway } from "./state.ts";

/** What a router that died had is free after this. */
const leaseMs = 6000;
/** How often what has ended is forgotten. */
const sweepEveryMs = 2500;
/** How often all of it is compared, should somebody have emptied Redis. */
const compareEveryMs = 30_000;
/** A message that is older was kept by somebody, and says nothing any more; routers' clocks may differ. */
const freshMs = 60_000;
/** Messages that were heard are remembered, so that each counts once; more come from nobody's routers. */
const maxHeard = 10_000;

const message = z.object({ at: z.number(), id: z.string(), body: z.unknown() });
const whole = z.coerce.number().int();

interface Topic {
  readonly channel: string;
  heard(text: string): Promise<void>;
}

/** Shared state in Redis, or Valkey: see `SharedState`. Nothing of it can be read there, or made up. */
export class RedisState implements SharedState {
  readonly id = crypto.randomUUID();
  readonly leaseMs = leaseMs;
  readonly #log: Log;
  readonly #seal: Seal;
  readonly #link: RedisLink;
  readonly #maps = new Map<string, Replica<unknown>>();
  readonly #topics: Topic[] = [];
  readonly #callbacks: (() => void)[] = [];
  #timers: ReturnType<typeof setInterval>[] = [];
  readonly #heard = new Map<string, number>();
  /** What was taken, by its name: Redis may forget it, or say that it did. */
  readonly #taken: SharedMap<true>;
  #wasRead = false;

  private constructor(settings: StateSettings, log: Log, seal: Seal) {
    this.#log = log;
    this.#seal = seal;
    this.#link = new RedisLink(
      settings,
      log,
      (client) => this.#caughtUp(client),
      () => {
        for (const callback of this.#callbacks) callback();
      },
    );
    this.#taken = this.map("taken", z.literal(true));
  }

  /** Does not wait for Redis: `start` connects, once everybody has said what they hear. */
  static async open(settings: StateSettings, log: Log): Promise<RedisState> {
    return new RedisState(settings, log, await Seal.of(settings.secret));
  }

  /** Resolves once it was read, or after that time: then it goes on trying. */
  async start(withinMs: number): Promise<void> {
    let late: ReturnType<typeof setTimeout> | undefined;
    const settled = new Promise<void>((resolve) => {
      late = setTimeout(resolve, withinMs);
      this.onChange(() => {
        if (this.#wasRead) resolve();
      });
    });
    this.#timers = [
      setInterval(() => void this.#sweep(), sweepEveryMs),
      setInterval(() => void this.#compare(), compareEveryMs),
    ];
    this.#link.start();
    await settled;
    clearTimeout(late);
  }

  get away(): Away | null {
    return this.#link.away;
  }

  get wasRead(): boolean {
    return this.#wasRead;
  }

  onChange(callback: () => void): void {
    this.#callbacks.push(callback);
  }

  map<T>(section: string, schema: z.ZodType<T>): SharedMap<T> {
    const known = this.#maps.get(section);
    if (known !== undefined) return known as Replica<unknown> as Replica<T>;
    const made = new Replica({
      key: this.#key("map", section),
      schema,
      seal: this.#seal,
      log: this.#log,
      run: (command) => this.#link.run(command),
      isThere: () => this.away === null,
    });
    this.#maps.set(section, made as unknown as Replica<unknown>);
    return made;
  }

  topic<T>(name: string, schema: z.ZodType<T>, hear: (message: T) => void): { tell(message: T): void } {
    const channel = this.#key("topic", name);
    this.#topics.push({
      channel,
      heard: async (text) => {
        const opened = message.safeParse(await this.#seal.open(channel, text));
        if (!opened.success || !this.#isNew(opened.data)) return;
        const body = schema.safeParse(opened.data.body);
        if (body.success) hear(body.data);
      },
    });
    const tell = async (body: T): Promise<void> => {
      const text = await this.#seal.seal(channel, { at: Date.now(), id: crypto.randomUUID(), body });
      await this.#link.run((client) => client.publish(channel, text));
    };
    return { tell: (body) => void tell(body).catch(() => {}) };
  }

  async takeOnce(what: string, lastsMs: number): Promise<boolean> {
    const name = await this.#seal.name(`once ${what}`);
    const expiration = { type: "PX", value: Math.ceil(lastsMs) } as const;
    const taken = await this.#link.run((client) =>
      client.set(this.#key("once", name), "1", { condition: "NX", expiration }),
    );
    if (taken !== "OK" || this.#taken.get(name) !== undefined) return false;
    await this.#taken.set(name, true, lastsMs);
    return true;
  }

  async rate(key: string, { perSecond, burst }: TokenRate): Promise<number | null> {
    const keys = [this.#key("rate", await this.#seal.name(`rate ${perSecond} ${burst} ${key}`))];
    const after = await this.#number(rateScript, keys, [perSecond, burst].map(String));
    return after < 0 ? null : Math.max(1, Math.min(after, Math.ceil(1 / perSecond)));
  }

  async lease(key: string, has: () => number, places: number, cap: number): Promise<number> {
    const keys = [await this.#leaseKey(key)];
    const args = [this.id, ...[has(), places, cap, leaseMs].map(String)];
    return Math.max(0, Math.min(await this.#number(leaseScript, keys, args), places));
  }

  async hold(keys: readonly string[], has: (key: string) => number | null): Promise<void> {
    const named = await Promise.all(keys.map(async (key) => [key, await this.#leaseKey(key)] as const));
    // From here on nothing waits: what is said is so, and said in this order.
    const said = named.flatMap(([key, name]) => {
      const places = has(key);
      return places === null ? [] : [{ name, places: String(places) }];
    });
    if (said.length === 0) return;
    const args = [this.id, String(leaseMs), ...said.map(({ places }) => places)];
    await this.#number(
      holdScript,
      said.map(({ name }) => name),
      args,
    );
  }

  /** All that it knows of its maps; `null` where it has read nothing yet. */
  known(): Iterable<KnownValue> | null {
    return this.#wasRead ? this.#known() : null;
  }

  *#known(): Iterable<KnownValue> {
    for (const one of this.#maps.values())
      for (const [field, text] of one.texts()) yield { map: one.key, field, text };
  }

  /** What another process of this router knows, while Redis can't be asked: nobody takes more from it than from Redis. */
  async learn(values: readonly KnownValue[]): Promise<void> {
    const maps = new Map([...this.#maps.values()].map((one) => [one.key, one]));
    for (const { map, field, text } of values) await maps.get(map)?.learn(field, text);
  }

  /** It has learnt all that another process knows, which is as good as to have read it. */
  learnt(): void {
    if (this.#wasRead) return;
    this.#wasRead = true;
    for (const callback of this.#callbacks) callback();
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#link.close();
  }

  #key(kind: string, name: string): string {
    // In one slot of a cluster.
    return `sallyport:{${this.#seal.realm}}:${kind}:${name}`;
  }

  async #leaseKey(key: string): Promise<string> {
    return this.#key("cap", await this.#seal.name(`cap ${key}`));
  }

  async #number(script: string, keys: string[], args: string[]): Promise<number> {
    const answer = whole.safeParse(
      await this.#link.run((client) => client.eval(script, { keys, arguments: args })),
    );
    if (answer.success) return answer.data;
    throw new StateAway("Redis answers what was not asked");
  }

  async #caughtUp(client: Client): Promise<void> {
    // First hear, then read: what is said in between counts too.
    for (const { channel, heard } of this.#topics)
      await client.subscribe(channel, (text) => void heard(text));
    for (const map of this.#maps.values()) await client.subscribe(map.key, (text) => void map.heard(text));
    for (const map of this.#maps.values()) await map.catchUp(client, true);
    this.#wasRead = true;
  }

  async #compare(): Promise<void> {
    const { client } = this.#link;
    if (client === null) return;
    for (const map of this.#maps.values()) await map.catchUp(client, false).catch(() => {});
  }

  async #sweep(): Promise<void> {
    for (const map of this.#maps.values()) await map.sweep();
    const now = Date.now();
    for (const [id, at] of this.#heard) if (now - at > 2 * freshMs) this.#heard.delete(id);
  }

  /** Whether a message is of now, and was not heard already. */
  #isNew({ at, id }: { readonly at: number; readonly id: string }): boolean {
    if (Math.abs(Date.now() - at) > freshMs || this.#heard.has(id) || this.#heard.size >= maxHeard)
      return false;
    this.#heard.set(id, at);
    return true;
  }
}
