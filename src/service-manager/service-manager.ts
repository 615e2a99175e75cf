type Environment = Readonly<Record<string, string | undefined>>;

/** How a service manager is told, sd_notify(3), and what of. */
export interface Telling {
  /** Sends assignments (`READY=1`) in order; resolves when it is heard. Rejects where it can't be told. */
  send(assignments: readonly string[]): Promise<void>;
  /** Microseconds by the clock that service managers go by (CLOCK_MONOTONIC), not before now. */
  monotonicMicros(): number;
  /** It can't be told. Called once. */
  failed(error: Error): void;
}

/** Beyond what the drain may take: for records, workers and the end of the process. */
const spareMs = 30_000;

/** The service manager that started this process and wants to hear of it; says nothing where there is none. */
export class ServiceManager {
  readonly #telling: Telling | null;
  #queue: Promise<void> = Promise.resolve();
  #watchdog: ReturnType<typeof setInterval> | undefined;
  #failed = false;

  constructor(env: Environment, processId: number, telling: Telling) {
    this.#telling = (env.NOTIFY_SOCKET ?? "") === "" ? null : telling;
    const { WATCHDOG_USEC: micros = "", WATCHDOG_PID: pid } = env;
    // It may be meant for whoever started this process.
    if (
      this.#telling === null ||
      !/^\d{4,16}$/.test(micros) ||
      (pid ?? String(processId)) !== String(processId)
    )
      return;
    // Twice as often as it has to be (sd_watchdog_enabled(3)); from an event loop that hangs nothing comes.
    this.#watchdog = setInterval(() => this.#tell("WATCHDOG=1"), Number(micros) / 2000);
  }

  /** It listens, or does so by the new configuration. */
  ready(status: string): void {
    this.#tell("READY=1", `STATUS=${status}`);
  }

  /** It reads its configuration anew; `ready` follows, whatever comes of it. */
  reloading(): void {
    if (this.#telling !== null)
      this.#tell("RELOADING=1", `MONOTONIC_USEC=${this.#telling.monotonicMicros()}`);
  }

  /** It drains, for so long at most, and then ends. */
  stopping(withinMs: number): void {
    this.#tell("STOPPING=1", "STATUS=draining", `EXTEND_TIMEOUT_USEC=${(withinMs + spareMs) * 1000}`);
  }

  /** Resolves when all is told. */
  async close(): Promise<void> {
    clearInterval(this.#watchdog);
    await this.#queue;
  }

  #tell(...assignments: readonly string[]): void {
    const telling = this.#telling;
    if (telling === null || this.#failed) return;
    this.#queue = this.#queue.then(async () => {
      try {
        if (!this.#failed) await telling.send(assignments);
      } catch (error) {
        this.#failed = true;
        telling.failed(error instanceof Error ? error : new Error(String(error)));
      }
    });
  }
}
