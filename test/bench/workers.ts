import { setTimeout as pause } from "node:timers/promises";
import { cpuByProcess } from "./accounting.ts";
import { end } from "./children.ts";
import { keepTo, processors } from "./processors.ts";
import { type Bench, type Subject, startSubject } from "./subjects.ts";
import { median } from "./transfer.ts";

/** CPU seconds for the same work: of one process, and of a router of two workers. */
export interface Shares {
  readonly one: number;
  readonly two: number;
}

/** @param parallel connections at a time */
type Job = (subject: Subject, parallel: number) => Promise<void>;

/** For each worker, so that all get as warm as the one process does. */
const warmUp = 12;
/** In each turn, for chance says which worker has a connection. */
const jobs = 2;
/** What is put off, such as records, is work, too. */
const settleMs = 500;

/**
 * Has each worker in turn a processor of its own, and everybody else, the load and the other workers, on what is left:
 * so is each of them on a machine that has nothing else to do, but for what they have in common. Two workers' turns
 * together serve as many as one process does in its one.
 */
async function spent(name: string, bench: Bench, workers: number, job: Job): Promise<number> {
  const subject = await startSubject(name, bench, workers);
  const all = processors();
  const own = all.slice(-1);
  try {
    const pid = subject.process.pid ?? 0;
    // The first to be ready takes all that comes before the others are; then each compiles what it runs often.
    await pause(3000);
    for (let times = 0; times < warmUp * workers; times++) await job(subject, 8);
    const family = [...cpuByProcess(pid).keys()];
    const counted = workers === 1 ? [pid] : family.filter((id) => id !== pid);
    if (counted.length !== workers) throw new Error(`${name}: ${workers} workers were expected`);
    let seconds = 0;
    for (const worker of counted) {
      for (const id of cpuByProcess(process.pid).keys()) keepTo(id, all.slice(0, -1));
      keepTo(worker, own);
      const before = cpuByProcess(pid);
      // One at a time: a worker of which more is asked at once has less to do for each.
      for (let times = 0; times < jobs; times++) await job(subject, 1);
      await pause(settleMs);
      const after = cpuByProcess(pid);
      const taken = (id: number): number => (after.get(id) ?? 0) - (before.get(id) ?? 0);
      // Whoever is above the workers serves all of them, in each of their turns.
      seconds += taken(worker) + (worker === pid ? 0 : taken(pid) / workers);
    }
    return seconds / jobs;
  } finally {
    for (const id of cpuByProcess(process.pid).keys()) keepTo(id, all);
    await end(subject.process);
  }
}

export async function measureWorkers(
  bench: Bench,
  names: readonly string[],
  job: Job,
  rounds: number,
): Promise<Readonly<Record<string, readonly Shares[]>>> {
  if (processors().length < 2)
    throw new Error("workers: a processor for who is counted, and one for the load");
  const shares: Record<string, Shares[]> = {};
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const one = await spent(name, bench, 1, job);
      const two = await spent(name, bench, 2, job);
      shares[name] = [...(shares[name] ?? []), { one, two }];
    }
  }
  return shares;
}

export function printWorkers(shares: Readonly<Record<string, readonly Shares[]>>): string {
  const lines = [
    "two workers: how much faster they are than one process, each on a core of its own (CPU s, CPU s)",
  ];
  for (const [name, of] of Object.entries(shares)) {
    const faster = median(of.map(({ one, two }) => (2 * one) / two));
    const [one, two] = [median(of.map((each) => each.one)), median(of.map((each) => each.two))];
    lines.push(
      `  ${name.padEnd(12)}${faster.toFixed(2)} (${one.toFixed(2)} of one, ${two.toFixed(2)} of two)`,
    );
  }
  return lines.join("\n");
}
