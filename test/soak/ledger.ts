import type { ConnectionRecord } from "../../src/core/record.ts";

/** A client's connection, as the client saw it; Unix milliseconds. */
interface Made {
  readonly kind: string;
  readonly began: number;
  readonly ended: number;
  /** Whether it ended before its time. */
  readonly cut: boolean;
  /** Whether the client reset it, maybe before the router could accept it: then there is nothing to record. */
  readonly reset?: boolean;
}

/** What clients did, to be held against what the router has recorded. */
export class Ledger {
  /** By the client's port: ports come again. */
  readonly #made = new Map<number, Made[]>();
  readonly #kills: number[] = [];
  readonly counts: Record<string, number> = {};
  readonly failures: string[] = [];

  made(port: number, one: Made): void {
    this.#made.set(port, [...(this.#made.get(port) ?? []), one]);
    const key = one.cut ? `${one.kind}, cut` : one.kind;
    this.counts[key] = (this.counts[key] ?? 0) + 1;
  }

  failed(what: string): void {
    this.failures.push(what);
  }

  /** A worker was killed: just now. */
  killed(): void {
    this.#kills.push(Date.now());
  }

  get kills(): number {
    return this.#kills.length;
  }

  /** Whether a worker was killed in that time, which may have taken a connection or its record with it. */
  killedIn(from: number, to: number): boolean {
    return this.#kills.some((at) => at >= from - aMoment && at <= to + aMoment);
  }

  get connections(): number {
    return [...this.#made.values()].flat().length;
  }

  /** Those that may have no record. */
  get excused(): number {
    return [...this.#made.values()].flat().filter((one) => this.#mayLackRecord(one)).length;
  }

  #mayLackRecord({ began, reset }: Made): boolean {
    // A connection that the system has taken and the worker has not looked at yet ends with it, unseen.
    return reset === true || this.killedIn(began, began);
  }

  /** The ports that have more or fewer records than connections. */
  unaccounted(records: readonly ConnectionRecord[]): readonly string[] {
    const written = new Map<number, number>();
    for (const { source } of records) {
      const port = Number(source.slice(source.lastIndexOf(":") + 1));
      written.set(port, (written.get(port) ?? 0) + 1);
    }
    return [...this.#made].flatMap(([port, all]) => {
      const lines = written.get(port) ?? 0;
      const least = all.filter((one) => !this.#mayLackRecord(one)).length;
      return lines >= least && lines <= all.length
        ? []
        : [
            `port ${port}: ${lines} lines for ${JSON.stringify(all)}; workers ended at ${this.#kills.join(" ")}`,
          ];
    });
  }
}

/** Between a worker's end and what is noticed of it, and between a connection's end and its record on the disk. */
const aMoment = 1000;
