import type { Recording } from "../audit/audit-log.ts";
import { deadline } from "../core/deadline.ts";
import type { ConnectionRecord } from "../core/record.ts";
import { Rate } from "../enrolment/rate.ts";
import { EnrolmentRefusal } from "../enrolment/refusal.ts";
import type { Log } from "../observe/log.ts";
import { Metrics } from "../observe/metrics.ts";
import type { Connection, Endpoint, Runtime } from "../types.ts";
import { version } from "../version.ts";
import { Channel } from "./channel.ts";
import { type FromPrimary, type FromWorker, fromWorker, type OpenHere, type Summons } from "./messages.ts";
import { Pool } from "./pool.ts";
import { sameSecret } from "./secret.ts";
import type { RouterSecrets } from "./secrets.ts";
import { WorkerSlot } from "./worker-slot.ts";

/** A listener that workers share. */
export interface SharedListener {
  readonly variable: string;
  /** `null` where the first worker will choose it. */
  readonly port: number | null;
  /** What the workers inherit; `null` where each makes a socket of its own. */
  readonly fd: number | null;
  close(): void;
}

/** A worker's process. */
export interface StartedWorker {
  readonly pid: number;
  /** Its exit status. */
  readonly ended: Promise<number>;
  /** Asks it to read its configuration anew. */
  hangUp(): void;
  kill(): void;
}

export interface PrimaryParts {
  readonly runtime: Runtime;
  readonly workers: number;
  readonly listeners: readonly SharedListener[];
  readonly secrets: RouterSecrets;
  /** Shown by whoever is of this router. */
  readonly secret: string;
  /** A folder that nobody else may look into. */
  readonly folder: string;
  readonly log: Log;
  readonly logFormat: "json" | "text";
  /** How it stands with the audit records that workers hand over; `null`: they hand over none. */
  readonly recording: Recording | null;
  /** How long workers may take to drain. */
  readonly drainMs: number;
  /** Starts a worker, which finds `summons` in its standard input, and inherits these from 3 on. */
  readonly start: (summons: Summons, inherited: readonly number[]) => Promise<StartedWorker>;
  /** Makes a socket its owner's alone. */
  readonly protect: (path: string) => void;
}

/** The first worker ended before it was ready: it has said why. */
export class WorkerFailed extends Error {
  override readonly name = "WorkerFailed";
  readonly status: number;

  constructor(status: number) {
    super("the first worker did not start");
    this.status = status;
  }
}

/** From a worker's connection to its first word. */
const helloMs = 5000;
/** A worker that has hung up and goes on is stuck. */
const hungUpMs = 5000;
/** For workers to end once their time is over. */
const endMs = 10_000;
/** For workers to say what they counted. */
const countMs = 1000;
const secretsEveryMs = 600_000;
const recordingEveryMs = 200;

type WorkerChannel = Channel<FromWorker, FromPrimary>;

/**
 * The process that starts the workers, replaces those that die, and keeps what they have in common: caps, secrets, who
 * has which agent, what was counted. It accepts no connection itself.
 */
export class Primary {
  readonly #parts: PrimaryParts;
  readonly #slots: readonly WorkerSlot[];
  readonly #pool = new Pool();
  readonly #rates = new Map<number, Rate>();
  readonly #own = new Metrics();
  /** What workers counted that are gone. */
  readonly #gone = new Metrics();
  readonly #running: Promise<void>[] = [];
  #ports = new Map<string, number>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #recordingTimer: ReturnType<typeof setInterval> | undefined;
  #toldFull = false;
  #told = "";
  #ending = false;

  constructor(parts: PrimaryParts) {
    this.#parts = parts;
    this.#slots = Array.from({ length: parts.workers }, (_, i) => new WorkerSlot(i + 1));
  }

  get #socket(): string {
    return `${this.#parts.folder}/primary.sock`;
  }

  /**
   * Starts the workers, the first one alone. Resolves once all are ready, with where they listen, by variable. Rejects
   * with a `WorkerFailed`.
   */
  async start(): Promise<Readonly<Record<string, Endpoint>>> {
    const { runtime, log, protect } = this.#parts;
    await runtime.listen(
      { path: this.#socket },
      {
        connection: (connection) => this.#greet(connection),
        acceptFailed: (error) => log.warn("a worker could not connect", { error: error.message }),
      },
    );
    protect(this.#socket);
    this.#timer = setInterval(() => void this.#renewSecrets(), secretsEveryMs);
    this.#recordingTimer = setInterval(() => this.#tellRecording(), recordingEveryMs);
    const [first, ...others] = this.#slots;
    if (first === undefined) throw new TypeError("no workers");
    const failed = new Promise<never>((_, reject) => {
      this.#running.push(this.#keep(first, (status) => reject(new WorkerFailed(status))));
    });
    const addresses = await Promise.race([first.ready, failed]);
    this.#ports = new Map(Object.entries(addresses).map(([variable, { port }]) => [variable, port]));
    for (const slot of others) this.#running.push(this.#keep(slot, null));
    await Promise.all(this.#slots.map(({ ready }) => ready));
    return addresses;
  }

  /** `null` when ready, otherwise why not. */
  unready(): string | null {
    if (this.#ending) return "draining";
    const ready = this.#slots.filter(({ isReady }) => isReady).length;
    return ready === this.#slots.length ? null : `${ready} of ${this.#slots.length} workers are ready`;
  }

  /** Of what routers share, as workers said it last; with `verbose` where it is well, too. */
  details(verbose: boolean): readonly string[] {
    const up = this.#slots.flatMap(({ snapshot }) => snapshot.sallyport_state_up ?? []);
    const away = up.filter(({ value }) => value === 0).length;
    if (away > 0) return [`state: away at ${away} of ${up.length} workers; going on with what is known`];
    return verbose && up.length > 0 ? ["state: connected"] : [];
  }

  /** Of all workers together, Prometheus text. */
  async metrics(): Promise<string> {
    return (await this.counted()).text();
  }

  /** The same, to look at. */
  async counted(): Promise<Metrics> {
    await Promise.all(this.#slots.map((slot) => slot.count(countMs)));
    const all = new Metrics();
    all.absorb(this.#gone.snapshot());
    for (const { snapshot } of this.#slots) all.absorb(snapshot);
    if (this.#parts.recording !== null) this.#own.recording(this.#parts.recording);
    all.absorb(this.#own.snapshot());
    all.workers.set(this.#slots.filter(({ isReady }) => isReady).length);
    return all;
  }

  /** A connection has its record from elsewhere than its worker. */
  recorded({ route, outcome, reason }: Pick<ConnectionRecord, "route" | "outcome" | "reason">): void {
    this.#gone.connections.add(1, route ?? "", outcome, reason);
  }

  /** The connections that are open at all workers. */
  async connections(): Promise<OpenHere> {
    const all = await Promise.all(this.#slots.map((slot) => slot.connections(countMs)));
    return {
      open: all.reduce((sum, { open }) => sum + open, 0),
      connections: all.flatMap(({ connections }) => connections),
    };
  }

  /** Has every worker drain; resolves when none is left. */
  drain(): Promise<void> {
    return this.#end({ type: "drain" }, this.#parts.drainMs + endMs);
  }

  /** Every worker reads the configuration anew. */
  reload(): void {
    for (const { process } of this.#slots) process?.hangUp();
  }

  /** At once. */
  close(): Promise<void> {
    return this.#end({ type: "close" }, endMs);
  }

  async #end(how: FromPrimary, withinMs: number): Promise<void> {
    this.#ending = true;
    clearInterval(this.#timer);
    clearInterval(this.#recordingTimer);
    // Nobody is started any more that could inherit them, and they would keep the port open.
    for (const listener of this.#parts.listeners) listener.close();
    for (const slot of this.#slots) {
      slot.wake();
      if (slot.channel === null) slot.process?.kill();
      else slot.channel.send(how);
    }
    const stuck = deadline(withinMs, () => {
      for (const { process } of this.#slots) process?.kill();
    });
    await Promise.all(this.#running);
    stuck.cancel();
  }

  /** Runs a worker, and another in its place when it ends, until the router does. */
  async #keep(slot: WorkerSlot, failedFirst: ((status: number) => void) | null): Promise<void> {
    const { log } = this.#parts;
    while (!this.#ending) {
      const status = await this.#run(slot);
      if (this.#ending) return;
      if (failedFirst !== null && !slot.wasReady) {
        failedFirst(status);
        return;
      }
      const delayMs = slot.backOff();
      log.error("a worker ended; another takes its place", {
        worker: slot.number,
        pid: slot.process?.pid,
        status,
        delay_ms: delayMs,
      });
      await slot.wait(delayMs);
    }
  }

  async #run(slot: WorkerSlot): Promise<number> {
    const { folder, secret, listeners, start, log } = this.#parts;
    const inherited = listeners.flatMap(({ fd }) => (fd === null ? [] : [fd]));
    try {
      const summons = { folder, socket: this.#socket, secret, number: slot.number };
      const process = await start(summons, inherited);
      this.#gone.workersStarted.add(1);
      slot.begin(process);
      return await process.ended;
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      log.error("a worker could not be started", { worker: slot.number, detail });
      return 1;
    } finally {
      this.#gone.absorb(slot.snapshot, "counters");
      this.#pool.gone(slot);
      slot.end();
      this.#tellPeers();
    }
  }

  /** Somebody connects: a worker, if it knows the secret. */
  #greet(connection: Connection): void {
    let slot: WorkerSlot | undefined;
    const late = deadline(helloMs, () => connection.abort());
    const channel: WorkerChannel = new Channel(connection, fromWorker, (message) => {
      if (slot !== undefined) {
        this.#heard(slot, message);
        return;
      }
      late.cancel();
      slot = this.#known(message);
      if (slot === undefined) {
        channel.close();
        return;
      }
      slot.channel = channel;
      void this.#welcome(channel);
    });
    void channel.closed.then(() => {
      late.cancel();
      if (slot === undefined || slot.channel !== channel) return;
      const { process } = slot;
      slot.channel = null;
      const stuck = deadline(hungUpMs, () => process?.kill());
      void process?.ended.then(() => stuck.cancel());
    });
  }

  #known(message: FromWorker): WorkerSlot | undefined {
    if (message.type !== "hello" || !sameSecret(message.secret, this.#parts.secret)) return undefined;
    const slot = this.#slots[message.number - 1];
    if (slot === undefined || slot.channel !== null || this.#ending) return undefined;
    if (message.version !== version) {
      this.#parts.log.error("the program was replaced by another version: restart to run it", {
        running: version,
        found: message.version,
      });
      return undefined;
    }
    slot.socket = message.socket;
    return slot;
  }

  async #welcome(channel: WorkerChannel): Promise<void> {
    const { workers, listeners, secrets, logFormat } = this.#parts;
    let fd = 3;
    channel.send({
      type: "welcome",
      workers,
      log: logFormat,
      listeners: Object.fromEntries(
        listeners.map((one) => [
          one.variable,
          { port: one.port ?? this.#ports.get(one.variable) ?? null, fd: one.fd === null ? null : fd++ },
        ]),
      ),
      secrets: await secrets.at(Date.now()),
    });
    channel.send({ type: "recording", full: this.#toldFull });
    this.#tellPeers();
  }

  #heard(slot: WorkerSlot, message: FromWorker): void {
    switch (message.type) {
      case "hello":
        slot.channel?.close();
        break;
      case "ready":
        slot.isNowReady(message.addresses);
        this.#parts.log.info("worker ready", { worker: slot.number, pid: slot.process?.pid });
        this.#tellPeers();
        break;
      case "take": {
        const { ask, holder, key, cap, evicts } = message;
        const granted = this.#pool.take(slot, holder, key, cap, evicts);
        slot.channel?.send({ type: "taken", ask, granted });
        break;
      }
      case "established":
        this.#pool.established(slot, message.holder);
        break;
      case "leave":
        this.#pool.leave(slot, message.holder);
        break;
      case "rate":
        slot.channel?.send({ type: "rated", ask: message.ask, after: this.#after(message) });
        break;
      case "counted":
        slot.counted(message.snapshot);
        break;
      case "connections":
        slot.told(message);
        break;
      case "agents":
        slot.agents = message.names;
        this.#tellPeers();
        break;
      case "signed-out":
        for (const one of this.#slots) if (one !== slot) one.channel?.send(message);
        break;
    }
  }

  /** Seconds until one more may come; `null`: now. */
  #after({ key, perMinute }: { readonly key: string; readonly perMinute: number }): number | null {
    const rate = this.#rates.get(perMinute) ?? new Rate(perMinute, "");
    this.#rates.set(perMinute, rate);
    try {
      rate.take(key, Date.now());
      return null;
    } catch (error) {
      if (error instanceof EnrolmentRefusal) return error.retryAfter ?? 1;
      throw error;
    }
  }

  #tellPeers(): void {
    const there = this.#slots.filter(({ channel }) => channel !== null);
    const peers = there.map(({ number, socket, agents }) => ({ number, socket, agents: [...agents] }));
    for (const { channel } of there) channel?.send({ type: "peers", peers });
  }

  #tellRecording(): void {
    const full = this.#parts.recording?.full ?? false;
    if (full !== this.#toldFull)
      for (const { channel } of this.#slots) channel?.send({ type: "recording", full });
    this.#toldFull = full;
  }

  async #renewSecrets(): Promise<void> {
    const secrets = await this.#parts.secrets.at(Date.now());
    const told = JSON.stringify(secrets);
    if (told !== this.#told)
      for (const { channel } of this.#slots) channel?.send({ type: "secrets", secrets });
    this.#told = told;
  }
}
