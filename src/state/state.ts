import type { z } from "zod";
import type { TokenRate } from "../limits/token-buckets.ts";

/** Since when there is no shared state to be had, Unix milliseconds, and why. */
export interface Away {
  readonly since: number;
  readonly why: string;
}

/**
 * What several routers know together. While it is away each goes on with what it knows; what was said meanwhile is
 * caught up on. Nothing that is heard here is anybody's permission.
 */
export interface SharedState {
  /** This process among all that share, another one at every start. */
  readonly id: string;
  /** `null` while it is there. */
  readonly away: Away | null;
  /** Whether what the others know was read once, at least. */
  readonly wasRead: boolean;
  /** Calls back whenever one of the two above has changed. */
  onChange(callback: () => void): void;

  /** What all know by that name: the same map for whoever asks again. Values that the schema refuses are not there. */
  map<T>(section: string, schema: z.ZodType<T>): SharedMap<T>;

  /** Messages to whoever hears them now. What is told while it is away nobody hears. */
  topic<T>(name: string, schema: z.ZodType<T>, hear: (message: T) => void): { tell(message: T): void };

  /** True for one caller alone in all that time, however many ask. Rejects with `StateAway`. */
  takeOnce(what: string, lastsMs: number): Promise<boolean>;

  /**
   * Counts one more; resolves with the seconds after which one may come, `null`: this one. Rejects with `StateAway`.
   */
  rate(key: string, rate: TokenRate): Promise<number | null>;

  /**
   * So many places more under a cap that all routers share; resolves with how many of them there were. They are free
   * again `leaseMs` after this process said last that it holds them. Rejects with `StateAway`.
   *
   * @param has those that this process has already, asked when it is said
   */
  lease(key: string, has: () => number, places: number, cap: number): Promise<number>;
  /**
   * Says how many places this process holds; 0 gives them back. To be said anew before they are over.
   *
   * @param has asked when it is said; `null`: nothing is said of that key
   */
  hold(keys: readonly string[], has: (key: string) => number | null): Promise<void>;
  readonly leaseMs: number;

  close(): Promise<void>;
}

/**
 * A map that every router has whole. Of two values of one name the later one counts. What is set is there at once here,
 * and at the others as soon as they hear.
 */
export interface SharedMap<T> {
  get(name: string): T | undefined;
  entries(): IterableIterator<[string, T]>;
  /**
   * Resolves once the others are told, or will hear later.
   *
   * @param lastsMs `null`: for good; otherwise it is gone by then, unless it is set again
   */
  set(name: string, value: T, lastsMs: number | null): Promise<void>;
  delete(name: string): Promise<void>;
  /** Resolves once what others have set before is there, and they can have what was set here. Rejects with `StateAway`. */
  refresh(): Promise<void>;
  /** The value of one name, asked for now: others may have set it a moment ago. Rejects with `StateAway`. */
  ask(name: string): Promise<T | undefined>;
  /** Calls back with whatever became another one, `undefined` where it is gone; from here or from another router. */
  onChange(callback: (name: string, value: T | undefined) => void): void;
}

/** One value, as it stands in Redis: sealed. `map`: in which. */
export interface KnownValue {
  readonly map: string;
  readonly field: string;
  readonly text: string;
}

/** There is no shared state to be had just now. */
export class StateAway extends Error {
  override readonly name = "StateAway";
}
