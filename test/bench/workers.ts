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
const warmUp = 16;
/** In turns, for a machine is quicker now and slower then; chance says which worker has a connection. */
const turns = 4;
/** What is put off, such as records, is work, too. */
const settleMs = 500;

/** A router, or a peer, and those of its processes that serve. */
interface Router {
  readonly subject: Subject;
  readonly pid: number;
  readonly serving: readonly number[];
}

async function warmed(subject: Subject, workers: number, job: Job): Promise<Router> {
  const pid = subject.process.pid ?? 0;
  // The first to be ready takes all that comes before the others are; then each compiles what it runs often.
  await pause(3000);
  for (let times = 0; times < warmUp * workers; times++) await job(subject, 8);
  const family = [...cpuByProcess(pid).keys()];
  const serving = workers === 1 ? [pid] : family.filter((id) => id !== pid);
  if (serving.length !== workers) throw new Error(`expected ${workers} workers, found ${serving.length}`);
  return { subject, pid, serving };
}

/**
 * Gives each that serves in turn a processor of its own, and everybody else, the load and the other workers, what is
 * left: so is each of them on a machine that has nothing else to do, but for what they have in common. The turns of two
 * workers together serve as many as one process does in its one.
 */
async function turn({ subject, pid, serving }: Router, all: readonly number[], job: Job): Promise<number> {
  let seconds = 0;
  for (const counted of serving) {
    for (const id of cpuByProcess(process.pid).keys()) keepTo(id, all.slice(0, -1));
    keepTo(counted, all.slice(-1));
    const before = cpuByProcess(pid);
    // One at a time: a worker of which more is asked at once has less to do for each.
    await job(subject, 1);
    await pause(settleMs);
    const after = cpuByProcess(pid);
    const taken = (id: number): number => (after.get(id) ?? 0) - (before.get(id) ?? 0);
    // Whoever is above the workers serves all of them, in each of their turns.
    seconds += taken(counted) + (counted === pid ? 0 : taken(pid) / serving.length);
  }
  return seconds;
}

/** Both are there at once: who has no turn has nothing to do. */
async function shared(name: string, bench: Bench, job: Job): Promise<Shares> {
  const all = processors();
  if (all.length < 2)
    throw new Error("workers: expected a processor for who is counted, and one for the load");
  const open: Subject[] = [];
  const begin = async (workers: number): Promise<Router> => {
    const subject = await startSubject(name, bench, workers);
    open.push(subject);
    return warmed(subject, workers, job);
  };
  try {
    const single = await begin(1);
    const double = await begin(2);
    let [one, two] = [0, 0];
    for (let times = 0; times < turns; times++) {
      one += await turn(single, all, job);
      two += await turn(double, all, job);
    }
    return { one: one / turns, two: two / turns };
  } finally {
    for (const id of cpuByProcess(process.pid).keys()) keepTo(id, all);
    for (const { process: child } of open) await end(child);
  }
}

export async function measureWorkers(
  bench: Bench,
  names: readonly string[],
  job: Job,
  rounds: number,
): Promise<Readonly<Record<string, readonly Shares[]>>> {
  const shares: Record<string, Shares[]> = {};
  for (let round = 0; round < rounds; round++)
    for (const name of names) shares[name] = [...(shares[name] ?? []), await shared(name, bench, job)];
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
