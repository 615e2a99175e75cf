import { setTimeout as pause } from "node:timers/promises";
import { cpuByProcess } from "./accounting.ts";
import { end } from "./children.ts";
import { keepTo, processors } from "./processors.ts";
import { type Bench, type Subject, startSubject } from "./subjects.ts";
import { median } from "./transfer.ts";

/** Who serves: one process, two that have nothing in common, or two workers of one router. */
const shapes = ["one", "apart", "workers"] as const;

/** CPU seconds for the same work. */
export type Shares = Readonly<Record<(typeof shapes)[number], number>>;

/** @param parallel connections at a time, to the subjects in turn */
type Job = (subjects: readonly Subject[], parallel: number) => Promise<void>;

/** For each process, so that all get equally warm. */
const warmUp = 16;
/** In turns, for a machine is quicker now and slower then; chance says which worker has a connection. */
const turns = 6;
/** What is put off, such as records, is work, too. */
const settleMs = 500;

interface Shape {
  readonly subjects: readonly Subject[];
  /** Processes that serve. */
  readonly serving: readonly number[];
  /** Whoever is above them, and serves all of them. */
  readonly above: readonly number[];
}

/** Starts what a shape is made of; `open` has it even where that fails. */
async function begun(
  shape: keyof Shares,
  name: string,
  bench: Bench,
  open: Subject[],
  job: Job,
): Promise<Shape> {
  const subjects: Subject[] = [];
  for (let left = shape === "apart" ? 2 : 1; left > 0; left--) {
    const subject = await startSubject(name, bench, shape === "workers" ? 2 : 1);
    open.push(subject);
    subjects.push(subject);
  }
  const processes = shape === "one" ? 1 : 2;
  // The first worker to be ready takes all that comes before the others are; then each compiles what it runs often.
  await pause(3000);
  for (let times = 0; times < warmUp * processes; times++) await job(subjects, 8);
  const roots = subjects.map(({ process: { pid } }) => pid ?? 0);
  const above = shape === "workers" ? roots : [];
  const serving = roots.flatMap((pid) => [...cpuByProcess(pid).keys()]).filter((pid) => !above.includes(pid));
  if (serving.length !== processes)
    throw new Error(`expected ${processes} that serve, found ${serving.length}`);
  return { subjects, serving, above };
}

/**
 * Gives each that serves in turn a processor of its own, and everybody else, the load and the other one, what is left:
 * so is each of them on a machine that has nothing else to do, but for what they have in common. The turns of two
 * together serve as many as one process does in its one.
 */
async function turn({ subjects, serving, above }: Shape, all: readonly number[], job: Job): Promise<number> {
  const roots = subjects.map(({ process: { pid } }) => pid ?? 0);
  const spent = (): ReadonlyMap<number, number> => new Map(roots.flatMap((pid) => [...cpuByProcess(pid)]));
  let seconds = 0;
  for (const counted of serving) {
    for (const id of cpuByProcess(process.pid).keys()) keepTo(id, all.slice(0, -1));
    keepTo(counted, all.slice(-1));
    const before = spent();
    // One at a time: a process of which more is asked at once has less to do for each.
    await job(subjects, 1);
    await pause(settleMs);
    const after = spent();
    const taken = (id: number): number => (after.get(id) ?? 0) - (before.get(id) ?? 0);
    seconds += taken(counted);
    for (const id of above) seconds += taken(id) / serving.length;
  }
  return seconds;
}

/** All are there at once: who has no turn has nothing to do. */
async function shared(name: string, bench: Bench, job: Job): Promise<Shares> {
  const all = processors();
  if (all.length < 2)
    throw new Error("workers: expected a processor for who is counted, and one for the load");
  const open: Subject[] = [];
  try {
    const begin = (shape: keyof Shares): Promise<Shape> => begun(shape, name, bench, open, job);
    const [one, apart, workers] = [await begin("one"), await begin("apart"), await begin("workers")];
    const sums = { one: 0, apart: 0, workers: 0 };
    for (let times = 0; times < turns; times++) {
      sums.one += await turn(one, all, job);
      sums.apart += await turn(apart, all, job);
      sums.workers += await turn(workers, all, job);
    }
    return { one: sums.one / turns, apart: sums.apart / turns, workers: sums.workers / turns };
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
    "two workers: how many times as fast as one process, each on a core of its own; and twice what two processes take",
    "that have nothing in common, through what the workers take (CPU s of one, of two apart, of two workers)",
  ];
  for (const [name, of] of Object.entries(shares)) {
    const faster = (shape: "apart" | "one"): string =>
      median(of.map((each) => (2 * each[shape]) / each.workers)).toFixed(2);
    const seconds = shapes.map((shape) => median(of.map((each) => each[shape])).toFixed(2));
    lines.push(`  ${name.padEnd(12)}${faster("one")}; ${faster("apart")} (${seconds.join(", ")})`);
  }
  return lines.join("\n");
}
