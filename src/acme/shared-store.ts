import { z } from "zod";
import type { AcmeChallenge } from "../config/acme.ts";
import { type SharedMap, type SharedState, StateAway } from "../state/state.ts";
import { takeSharedTurn } from "../state/turn.ts";
import { issuedAt, longestWaitMs } from "./due.ts";
import { type AcmeStore, type Failure, failureSchema, isToken, type Turn } from "./store.ts";

/** Longer than any validation is waited for. */
const challengeMs = 15 * 60_000;
/** Failures are in a row as long as nobody has forgotten the one before. */
const rememberedMs = 24 * 3_600_000;
/** For every router to have heard of a challenge, whose process that is asked may have nobody to ask itself. */
const heardMs = 1000;
/** Anybody can ask for anything: what is looked for elsewhere at the same time. */
const maxAsking = 16;

/** What routers tell each other of ACME: `DIRECTORY KIND WHAT`, and the text that is kept of it. */
export const acmeMap = (state: SharedState): SharedMap<string> =>
  state.map(
    "acme",
    z
      .string()
      .min(1)
      .max(1 << 20),
  );

type Kept = "certificate" | "failure";

export interface SharedStoreParts {
  /** Of this machine alone. */
  readonly own: AcmeStore;
  /** Its name among directories, the same at all routers. */
  readonly directory: string;
  /** Those that certificates are ordered for here, as they are now. */
  readonly names: () => readonly string[];
  /** When a certificate and its key are good until, milliseconds since 1970; `null` where they are no such thing. */
  readonly goodUntil: (name: string, text: string) => number | null;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/**
 * What is kept of a directory where each router has a folder of its own: what one has every other has in its folder,
 * too, and all take turns. So everybody who reads reads files, and what somebody does to them reaches all routers.
 */
export class SharedStore implements AcmeStore {
  readonly #state: SharedState;
  readonly #parts: SharedStoreParts;
  readonly #map: SharedMap<string>;
  /** What this folder and the others last agreed on. */
  readonly #agreed = new Map<string, string>();
  /** What others told that is not to be served. */
  readonly #unsound = new Set<string>();
  /** By what is asked for. */
  readonly #asking = new Map<string, Promise<string | undefined>>();

  /** @param map all of `acmeMap`, of the same state */
  constructor(state: SharedState, map: SharedMap<string>, parts: SharedStoreParts) {
    this.#state = state;
    this.#parts = parts;
    this.#map = map;
    this.#map.onChange((key, value) => this.#heard(key, value));
    for (const [key, value] of this.#map.entries()) this.#heard(key, value);
  }

  /** That of whoever was first: it counts, should there be another one in the folder. */
  async accountKey(make: () => Promise<string>): Promise<string> {
    const key = this.#key("account", "key");
    const known = this.#map.get(key);
    if (known !== undefined) {
      await this.#parts.own.accountKey(async () => known);
      return known;
    }
    const made = await this.#parts.own.accountKey(make);
    await this.#map.set(key, made, null);
    return made;
  }

  certificate(name: string): string | null {
    return this.#parts.own.certificate(name);
  }

  keepCertificate(name: string, text: string): void {
    this.#parts.own.keepCertificate(name, text);
    this.#tell("certificate", name, text);
  }

  /** Where it was not heard of yet it is asked for: a busy process hears late, and a validation comes once. */
  async challenge(kind: AcmeChallenge, key: string): Promise<string | null> {
    return (await this.#parts.own.challenge(kind, key)) ?? (await this.#asked(this.#key(kind, key))) ?? null;
  }

  /** Rejects with `StateAway`: a validation that nobody can answer counts against us at the authority. */
  async publish(kind: AcmeChallenge, key: string, keyAuthorization: string): Promise<void> {
    await this.#parts.own.publish(kind, key, keyAuthorization);
    await this.#map.set(this.#key(kind, key), keyAuthorization, challengeMs);
    await this.#map.refresh();
    await new Promise((resolve) => setTimeout(resolve, heardMs));
  }

  withdraw(kind: AcmeChallenge, key: string): void {
    this.#parts.own.withdraw(kind, key);
    void this.#map.delete(this.#key(kind, key));
  }

  failure(name: string): Failure | null {
    return this.#parts.own.failure(name);
  }

  keepFailure(name: string, failure: Failure | null): void {
    this.#parts.own.keepFailure(name, failure);
    if (failure === null) this.#forget("failure", name);
    else this.#tell("failure", name, textOf(failure));
  }

  /** `null`, too, while there is no shared state to ask: nobody orders then. */
  async takeTurn(): Promise<Turn | null> {
    const { own, directory, names } = this.#parts;
    // Other processes of this machine are asked first.
    const here = await own.takeTurn();
    if (here === null) return null;
    const everywhere = await takeSharedTurn(this.#state, `acme ${directory}`);
    if (everywhere === null) {
      here.release();
      return null;
    }
    const release = (): void => {
      everywhere.release();
      here.release();
    };
    try {
      // Whoever had the turn before may have been heard of late.
      await this.#map.refresh();
      this.takeUp(names());
    } catch (error) {
      release();
      if (error instanceof StateAway) return null;
      throw error;
    }
    return {
      get holds() {
        return here.holds && everywhere.holds;
      },
      release,
    };
  }

  takeUp(names: readonly string[]): void {
    for (const name of names) {
      this.#agree("certificate", name);
      this.#agree("failure", name);
    }
  }

  async #asked(key: string): Promise<string | undefined> {
    let asking = this.#asking.get(key);
    if (asking === undefined) {
      if (this.#asking.size >= maxAsking) return undefined;
      asking = this.#map
        .ask(key)
        .catch(() => undefined)
        .finally(() => this.#asking.delete(key));
      this.#asking.set(key, asking);
    }
    return asking;
  }

  #key(kind: string, what: string): string {
    return `${this.#parts.directory} ${kind} ${what}`;
  }

  #agree(kind: Kept, name: string): void {
    const key = this.#key(kind, name);
    const own = this.#read(kind, name);
    const theirs = this.#map.get(key) ?? null;
    const agreed = this.#agreed.get(key) ?? null;
    if (own === theirs) {
      if (own === null) this.#agreed.delete(key);
      else this.#agreed.set(key, own);
    } else if (own === null) {
      // Somebody has removed the file, which is how one asks for another try, or has it still to come.
      if (theirs === agreed) this.#forget(kind, name);
      else this.#take(kind, name, theirs ?? "");
    } else if (theirs === null) {
      if (own !== agreed) this.#tell(kind, name, own);
      else if (kind === "failure") {
        this.#agreed.delete(key);
        this.#parts.own.keepFailure(name, null);
      }
      // A certificate that somebody has removed elsewhere is served until there is another.
    } else if (isLater(kind, theirs, own)) this.#take(kind, name, theirs);
    else this.#tell(kind, name, own);
  }

  #read(kind: Kept, name: string): string | null {
    const { own } = this.#parts;
    if (kind === "certificate") return own.certificate(name);
    const failure = own.failure(name);
    return failure === null ? null : textOf(failure);
  }

  /** From others into the folder. */
  #take(kind: Kept, name: string, text: string): void {
    const { own, goodUntil, now } = this.#parts;
    if (this.#unsound.has(text)) return;
    const failure = kind === "failure" ? failureOf(text) : null;
    const isSound =
      kind === "failure"
        ? failure !== null && failure.next <= now() + longestWaitMs
        : goodUntil(name, text) !== null;
    if (!isSound) {
      this.#unsound.add(text);
      return;
    }
    if (failure === null) own.keepCertificate(name, text);
    else own.keepFailure(name, failure);
    this.#agreed.set(this.#key(kind, name), text);
  }

  #tell(kind: Kept, name: string, text: string): void {
    const { goodUntil, now } = this.#parts;
    const key = this.#key(kind, name);
    this.#agreed.set(key, text);
    const until =
      kind === "certificate"
        ? (goodUntil(name, text) ?? 0)
        : Math.max(failureOf(text)?.next ?? 0, now()) + rememberedMs;
    const lastsMs = Math.ceil(until - now());
    if (lastsMs > 0) void this.#map.set(key, text, lastsMs);
  }

  #forget(kind: Kept, name: string): void {
    const key = this.#key(kind, name);
    this.#agreed.delete(key);
    void this.#map.delete(key);
  }

  /** A validation that another router has asked for may come here. */
  #heard(key: string, answer: string | undefined): void {
    const { own, directory, names } = this.#parts;
    const [where, kind, what = ""] = key.split(" ");
    if (where !== directory) return;
    const isOurs =
      (kind === "tls-alpn-01" && names().includes(what)) || (kind === "http-01" && isToken(what));
    if (!isOurs) return;
    try {
      if (answer === undefined) own.withdraw(kind, what);
      else void own.publish(kind, what, answer).catch(() => {});
    } catch {
      // A folder that can't be used is said when it is looked at for orders.
    }
  }
}

const textOf = ({ count, next, problem }: Failure): string => JSON.stringify({ count, next, problem });

function failureOf(text: string): Failure | null {
  try {
    return failureSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

/** Whether the first is to take the other's place; of any two, one is. */
function isLater(kind: Kept, one: string, other: string): boolean {
  const timeOf = kind === "certificate" ? issuedAt : (text: string) => failureOf(text)?.next ?? 0;
  const [a, b] = [timeOf(one), timeOf(other)];
  return a === b ? one > other : a > b;
}
