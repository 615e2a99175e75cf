import type { Log } from "../observe/log.ts";

/** Where audit records go in the end. */
export interface AuditWriter {
  /**
   * Writes records, JSON objects, as lines. Rejects where it could not: then it is called with the very same array
   * again, and goes on where it was.
   */
  write(records: readonly string[]): Promise<void>;
  close(): Promise<void>;
  /** The number and hash of the last line; `null` without a chain. */
  readonly last: { readonly seq: number; readonly hash: string } | null;
}

/** How it stands with records that are on their way. */
export interface Recording {
  /** Whether so many wait that no connection should come that makes more of them. */
  readonly full: boolean;
  readonly waiting: number;
  /** Since the start. */
  readonly lost: number;
}

/** What waits for a receiver that is away, or a disk that is full: more of it is lost. */
const maxRecords = 20_000;
const maxBytes = 64 << 20;
const perWrite = 512;
/** Written together: soon, or seldom where so many come in a millisecond that each write has enough of them. */
const gatherMs = 20;
const busyGatherMs = 100;
const busyFrom = 0.05;
const firstRetryMs = 100;
const longestRetryMs = 5000;
/** For what waits when the router ends. */
const lastMs = 3000;
/** How often the log says what the last line is. */
const anchorEveryMs = 5 * 60_000;

/** Takes records without ever waiting, and has them written in their order. */
export class AuditLog implements Recording {
  readonly #writer: AuditWriter;
  readonly #log: Log;
  #queue: string[] = [];
  /** For each of the queue, who is told once it is written. */
  #tellers: ((() => void) | undefined)[] = [];
  #bytes = 0;
  #lost = 0;
  /** Lost since the log said so. */
  #untold = 0;
  #anchored = 0;
  #failing = false;
  #writing: Promise<void> | null = null;
  #wake: () => void = () => {};
  #closing = false;
  /** So many came lately. */
  #busy = false;
  readonly #anchors: ReturnType<typeof setInterval>;

  constructor(writer: AuditWriter, log: Log) {
    this.#writer = writer;
    this.#log = log;
    this.#anchors = setInterval(() => this.#anchor(), anchorEveryMs);
    this.#anchor();
  }

  get full(): boolean {
    return this.#queue.length > maxRecords / 2 || this.#bytes > maxBytes / 2;
  }

  get waiting(): number {
    return this.#queue.length;
  }

  get lost(): number {
    return this.#lost;
  }

  /**
   * One JSON object.
   *
   * @param written called once it is, or is lost for want of room
   */
  write(record: string, written?: () => void): void {
    if (this.#queue.length >= maxRecords || this.#bytes + record.length > maxBytes) {
      this.#lost++;
      this.#untold++;
      written?.();
      return;
    }
    this.#queue.push(record);
    this.#tellers.push(written);
    this.#bytes += record.length;
    this.#writing ??= this.#run();
  }

  /** Writes what waits, as far as that goes. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#wake();
    let late: ReturnType<typeof setTimeout> | undefined;
    const patience = new Promise<void>((resolve) => {
      late = setTimeout(resolve, lastMs);
    });
    await Promise.race([this.#writing, patience]);
    clearTimeout(late);
    clearInterval(this.#anchors);
    const lost = this.#untold + this.#queue.length;
    if (lost > 0) this.#log.error("audit records are lost", { lost });
    this.#anchor();
    await Promise.race([this.#writer.close(), new Promise((resolve) => setTimeout(resolve, lastMs))]);
  }

  async #run(): Promise<void> {
    let retryMs = firstRetryMs;
    let left = 0;
    while (this.#queue.length > 0) {
      if (left === 0) {
        // What came meanwhile waits for others as well: a write of few is no cheaper than one of many.
        const gatheredMs = this.#busy ? busyGatherMs : gatherMs;
        if (!this.#closing) await this.#pause(gatheredMs);
        left = this.#queue.length;
        this.#busy = left / gatheredMs > busyFrom;
      }
      const batch = this.#queue.slice(0, Math.min(left, perWrite));
      for (;;) {
        try {
          await this.#writer.write(batch);
          break;
        } catch (error) {
          this.#failed(error);
          await this.#pause(retryMs);
          if (this.#closing && retryMs > lastMs) return;
          retryMs = Math.min(longestRetryMs, retryMs * 2);
        }
      }
      retryMs = firstRetryMs;
      this.#queue = this.#queue.slice(batch.length);
      for (const { length } of batch) this.#bytes -= length;
      for (const written of this.#tellers.splice(0, batch.length)) written?.();
      left -= batch.length;
      this.#succeeded();
    }
    this.#writing = null;
  }

  #failed(error: unknown): void {
    if (this.#failing) return;
    this.#failing = true;
    const why = error instanceof Error ? error.message : String(error);
    this.#log.error("audit records can't be written: they wait", { error: why });
  }

  #succeeded(): void {
    if (!this.#failing) return;
    this.#failing = false;
    this.#log.info("audit records are written again", { lost: this.#untold });
    this.#untold = 0;
  }

  /** Whoever keeps the operator's log elsewhere can tell by it whether the audit log was cut. */
  #anchor(): void {
    const { last } = this.#writer;
    if (last === null || last.seq === 0 || last.seq === this.#anchored) return;
    this.#anchored = last.seq;
    this.#log.info("audit chain", { seq: last.seq, last: last.hash });
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
