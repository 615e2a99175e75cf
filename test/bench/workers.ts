import { setTimeout as pause } from "node:timers/promises";
import { cpuByProcess } from "./accounting.ts";
import { end } from "./children.ts";
import { type Bench, type Subject, startSubject } from "./subjects.ts";
import { median } from "./transfer.ts";

/** CPU seconds for the same work: of one process, of a router of two workers, and of the busier of these. */
export interface Shares {
  readonly one: number;
  readonly two: number;
  readonly busiest: number;
}

/** @param parallel connections at a time */
type Job = (subject: Subject, parallel: number) => Promise<void>;

/** For each worker, so that all get as warm as the one process does. */
const warmUp = 12;

async function spent(name: string, bench: Bench, workers: number, job: Job): Promise<readonly number[]> {
  const subject = await startSubject(name, bench, workers);
  try {
    const pid = subject.process.pid ?? 0;
    // The first to be ready takes all that comes before the others are; then each compiles what it runs often.
    await pause(3000);
    for (let times = 0; times < warmUp * workers; times++) await job(subject, 8);
    const before = cpuByProcess(pid);
    // One at a time: load, upstream and workers are more than there may be processors, and who waits for one, and finds
    // its caches filled by another, takes longer for the same.
    await job(subject, 1);
    return [...cpuByProcess(pid)].map(([id, seconds]) => seconds - (before.get(id) ?? 0));
  } finally {
    await end(subject.process);
  }
}

export async function measureWorkers(
  bench: Bench,
  names: readonly string[],
  job: Job,
  rounds: number,
): Promise<Readonly<Record<string, readonly Shares[]>>> {
  const shares: Record<string, Shares[]> = {};
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const [one = Number.NaN] = await spent(name, bench, 1, job);
      const all = await spent(name, bench, 2, job);
      const two = all.reduce((sum, seconds) => sum + seconds, 0);
      shares[name] = [...(shares[name] ?? []), { one, two, busiest: Math.max(...all) }];
    }
  }
  return shares;
}

export function printWorkers(shares: Readonly<Record<string, readonly Shares[]>>): string {
  const lines = ["two workers: how much faster they can be than one process, on idle cores (CPU s, CPU s)"];
  for (const [name, of] of Object.entries(shares)) {
    const faster = median(of.map(({ one, busiest }) => one / busiest));
    const [one, two] = [median(of.map((each) => each.one)), median(of.map((each) => each.two))];
    lines.push(
      `  ${name.padEnd(12)}${faster.toFixed(2)} (${one.toFixed(2)} of one, ${two.toFixed(2)} of two)`,
    );
  }
  return lines.join("\n");
}
