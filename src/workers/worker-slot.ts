import type { Snapshot } from "../observe/metrics.ts";
import type { Endpoint } from "../types.ts";
import type { Channel } from "./channel.ts";
import type { FromPrimary, FromWorker, OpenHere } from "./messages.ts";
import type { PoolMember } from "./pool.ts";

/** A worker that lived so long died of something new. */
const steadyMs = 10_000;
const firstDelayMs = 100;
const longestDelayMs = 30_000;

type Addresses = Readonly<Record<string, Endpoint>>;

/** One of the workers, as the primary knows it: whoever replaces it takes its place here. */
export class WorkerSlot implements PoolMember {
  readonly number: number;
  process: { readonly pid: number; readonly ended: Promise<number>; hangUp(): void; kill(): void } | null =
    null;
  channel: Channel<FromWorker, FromPrimary> | null = null;
  /** Where other workers reach it. */
  socket = "";
  /** Names of the agents that it has. */
  agents: readonly string[] = [];
  /** What it counted, as it said last. */
  snapshot: Snapshot = {};
  isReady = false;
  wasReady = false;
  /** The first time. */
  readonly ready: Promise<Addresses>;

  #settle: (addresses: Addresses) => void = () => {};
  #since = 0;
  /** How often in a row it died soon. */
  #failures = 0;
  #counts: (() => void)[] = [];
  #asking: ((here: OpenHere) => void)[] = [];
  #waiting: (() => void) | undefined;

  constructor(number: number) {
    this.number = number;
    this.ready = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  begin(process: NonNullable<WorkerSlot["process"]>): void {
    this.process = process;
    this.#since = performance.now();
  }

  isNowReady(addresses: Addresses): void {
    this.isReady = true;
    this.wasReady = true;
    this.#settle(addresses);
  }

  evict(holder: number): void {
    this.channel?.send({ type: "evict", holder });
  }

  /** Asks for what it counted; resolves when it has said so, or after that time. */
  async count(withinMs: number): Promise<void> {
    if (this.channel === null) return;
    let late: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      late = setTimeout(resolve, withinMs);
      this.#counts.push(resolve);
      this.channel?.send({ type: "count" });
    });
    clearTimeout(late);
  }

  /** The connections that it has; none where it does not say so within that time. */
  async connections(withinMs: number): Promise<OpenHere> {
    const none = { open: 0, connections: [] };
    if (this.channel === null) return none;
    let late: ReturnType<typeof setTimeout> | undefined;
    const found = await new Promise<OpenHere>((resolve) => {
      late = setTimeout(() => resolve(none), withinMs);
      this.#asking.push(resolve);
      this.channel?.send({ type: "connections" });
    });
    clearTimeout(late);
    return found;
  }

  told(here: OpenHere): void {
    for (const resolve of this.#asking.splice(0)) resolve(here);
  }

  counted(snapshot: Snapshot): void {
    this.snapshot = snapshot;
    for (const resolve of this.#counts.splice(0)) resolve();
  }

  end(): void {
    this.isReady = false;
    this.channel?.close();
    this.channel = null;
    this.agents = [];
    this.counted({});
    this.told({ open: 0, connections: [] });
  }

  /** How long to wait before the next one starts: longer each time that one dies soon, a little apart from others. */
  backOff(): number {
    this.#failures = performance.now() - this.#since > steadyMs ? 0 : this.#failures + 1;
    const ms = Math.min(longestDelayMs, firstDelayMs * 2 ** Math.max(0, this.#failures - 1));
    return Math.round(ms * (0.75 + Math.random() / 2));
  }

  wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#waiting = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Ends the wait: the router ends. */
  wake(): void {
    this.#waiting?.();
  }
}
