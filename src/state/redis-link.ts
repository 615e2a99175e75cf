import type { Log } from "../observe/log.ts";
import { type Away, StateAway } from "./state.ts";

/** Where the shared state is, and what routers seal it with. */
export interface StateSettings {
  readonly host: string;
  readonly port: number;
  /** `null`: in the clear. */
  readonly tls: {
    /** PEM; empty: the system's anchors. */
    readonly anchors: readonly string[];
  } | null;
  readonly username: string | null;
  readonly password: string | null;
  readonly database: number;
  /** 256 bits that all routers know and nobody else. */
  readonly secret: Uint8Array;
}

/** For connecting and the first words, and for each answer: Redis is quick, or it is away. */
const connectMs = 3000;
const answerMs = 1000;
/** How often it is asked whether it is still there. */
const beatMs = 1000;
const firstDelayMs = 50;
const longestDelayMs = 2000;
/** What may wait for an answer; beyond, it is as good as away. */
const maxWaiting = 20_000;

async function connect({ host, port, tls, username, password, database }: StateSettings) {
  // Only those who share a state need the client.
  const { createClient } = await import("@redis/client");
  return createClient({
    RESP: 3,
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    database,
    maintNotifications: "disabled",
    disableClientInfo: true,
    disableOfflineQueue: true,
    commandsQueueMaxLength: maxWaiting,
    socket: {
      host,
      port,
      connectTimeout: connectMs,
      // Whoever has lost a connection has to catch up, and so begins anew.
      reconnectStrategy: false,
      ...(tls === null ? {} : { tls: true, ...(tls.anchors.length === 0 ? {} : { ca: [...tls.anchors] }) }),
    },
  });
}
export type Client = Awaited<ReturnType<typeof connect>>;

/** Never more than a line, and never what was sent: the client's errors have codes, Redis's have words. */
function reasonOf(error: unknown): string {
  const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
  return (typeof code === "string" ? code : String(message)).split("\n")[0]?.slice(0, 200) ?? "";
}

async function within<T>(ms: number, what: string, answer: Promise<T>): Promise<T> {
  let late: ReturnType<typeof setTimeout> | undefined;
  const patience = new Promise<never>((_, reject) => {
    late = setTimeout(() => reject(new StateAway(`${what} took more than ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([answer, patience]);
  } finally {
    clearTimeout(late);
  }
}

/**
 * A connection to Redis that comes back. Every wait is bounded: an answer that does not come ends the connection, and
 * the next one begins with everything that `caughtUp` does.
 */
export class RedisLink {
  readonly #settings: StateSettings;
  readonly #log: Log;
  readonly #caughtUp: (client: Client) => Promise<void>;
  readonly #changed: () => void;
  #client: Client | null = null;
  #away: Away | null = { since: Date.now(), why: "not connected yet" };
  #wake: () => void = () => {};
  #lost: (error: unknown) => void = () => {};
  #closed = false;
  #running: Promise<void> | undefined;

  /**
   * @param caughtUp brings both sides to the same state, on every new connection
   * @param changed it is there, or away
   */
  constructor(
    settings: StateSettings,
    log: Log,
    caughtUp: (client: Client) => Promise<void>,
    changed: () => void,
  ) {
    this.#settings = settings;
    this.#log = log;
    this.#caughtUp = caughtUp;
    this.#changed = changed;
  }

  get away(): Away | null {
    return this.#away;
  }

  /** `null` while it is away. What hangs on it ends with it. */
  get client(): Client | null {
    return this.#client;
  }

  start(): void {
    this.#running ??= this.#keep();
  }

  /** Rejects with `StateAway`, soon. What Redis itself refuses is as good as away. */
  async run<T>(command: (client: Client) => Promise<T>): Promise<T> {
    const client = this.#client;
    if (client === null) throw new StateAway("the shared state is away");
    return this.#answer(client, command(client));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake();
    this.#lost(new StateAway("closed"));
    await this.#running;
  }

  /** One that comes late ends the connection. */
  async #answer<T>(client: Client, answer: Promise<T>): Promise<T> {
    // Ended with the connection, when nobody waits for it any more.
    answer.catch(() => {});
    try {
      return await within(answerMs, "an answer", answer);
    } catch (error) {
      if (client === this.#client && error instanceof StateAway) this.#lost(error);
      throw error instanceof StateAway ? error : new StateAway(reasonOf(error), { cause: error });
    }
  }

  async #keep(): Promise<void> {
    let failures = 0;
    while (!this.#closed) {
      try {
        await this.#once(() => {
          failures = 0;
        });
      } catch (error) {
        if (this.#closed) break;
        this.#isAway(reasonOf(error));
      }
      const ms = Math.min(longestDelayMs, firstDelayMs * 2 ** failures++);
      await this.#wait(ms * (0.5 + Math.random() / 2));
    }
  }

  /** From connecting until it is lost: rejects then. */
  async #once(there: () => void): Promise<void> {
    const client = await connect(this.#settings);
    let beat: ReturnType<typeof setInterval> | undefined;
    const lost = new Promise<never>((_, reject) => {
      this.#lost = reject;
      client.on("error", reject);
      client.on("end", () => reject(new StateAway("the connection ended")));
    });
    lost.catch(() => {});
    try {
      const connected = client.connect();
      connected.catch(() => {});
      await Promise.race([lost, within(connectMs, "connecting", connected)]);
      beat = setInterval(() => void within(answerMs, "an answer", client.ping()).catch(this.#lost), beatMs);
      await Promise.race([lost, this.#caughtUp(client)]);
      this.#client = client;
      there();
      this.#isThere();
      await lost;
    } finally {
      clearInterval(beat);
      this.#client = null;
      client.destroy();
    }
  }

  #isThere(): void {
    const away = this.#away;
    this.#away = null;
    const { host, port } = this.#settings;
    const ms = away === null ? 0 : Date.now() - away.since;
    this.#log.info("shared state: connected, and caught up", { at: `${host}:${port}`, away_ms: ms });
    this.#changed();
  }

  #isAway(why: string): void {
    const before = this.#away;
    this.#away = { since: before?.since ?? Date.now(), why };
    if (before?.why === why) return;
    const { host, port } = this.#settings;
    this.#log.error("shared state: away; going on with what is known", {
      at: `${host}:${port}`,
      problem: why,
    });
    this.#changed();
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
