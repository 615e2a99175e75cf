import type { ChildProcess } from "node:child_process";
import { setTimeout as pause } from "node:timers/promises";
import { cpuByProcess, idleSeconds } from "./accounting.ts";
import { end, finished, firstOutput } from "./children.ts";
import { keepTo, processors } from "./processors.ts";
import { type Bench, type Subject, startSubject } from "./subjects.ts";
import { median } from "./transfer.ts";

/** Who serves: one process, two that have nothing in common, or two workers of one router. */
const shapes = ["one", "apart", "workers"] as const;
type Shape = (typeof shapes)[number];

export interface Output {
  /** Connections a second. */
  readonly rate: number;
  /** CPU of all that serve and whoever is above them, microseconds a connection. */
  readonly cpu: number;
  /** Which part of the time the processors had nothing to do, though more was asked for: somebody waited for another. */
  readonly idle: number;
}
/** Those of one turn after another, of every shape as many. */
export type Outputs = Readonly<Record<Shape, readonly Output[]>>;

/** Milliseconds since 1970. */
interface Window {
  readonly from: number;
  readonly to: number;
}

/** Connections at a time of each load: so many that a processor hardly waits while chance sends them to the other. */
export const parallelForEach = 32;

export interface Load {
  warmUp(subjects: readonly Subject[]): Promise<void>;
  /** As many connections as it gets, to the subjects in turn; it says how many ended within the window. */
  during(subjects: readonly Subject[], window: Window): ChildProcess;
}

interface Started {
  readonly subjects: readonly Subject[];
  /** Processes that serve. */
  readonly serving: readonly number[];
}

/** For each process, so that all get equally warm. */
const warmUp = 16;
/** In turns, for a machine is quicker now and slower then. */
const turns = 7;
/** From the start of the load until it is at its pace. */
const leadMs = 1500;
const windowMs = 5000;

const rootsOf = (subjects: readonly Subject[]): readonly number[] =>
  subjects.map(({ process: { pid } }) => pid ?? 0);

/** Starts what a shape is made of; `open` has it even where that fails. */
async function begun(
  shape: Shape,
  name: string,
  bench: Bench,
  open: Subject[],
  load: Load,
): Promise<Started> {
  const subjects: Subject[] = [];
  for (let left = shape === "apart" ? 2 : 1; left > 0; left--) {
    const subject = await startSubject(name, bench, shape === "workers" ? 2 : 1);
    open.push(subject);
    subjects.push(subject);
  }
  const processes = shape === "one" ? 1 : 2;
  // The first worker to be ready takes all that comes before the others are; then each compiles what it runs often.
  await pause(3000);
  for (let times = 0; times < warmUp * processes; times++) await load.warmUp(subjects);
  const roots = rootsOf(subjects);
  const serving = roots
    .flatMap((pid) => [...cpuByProcess(pid).keys()])
    .filter((pid) => shape !== "workers" || !roots.includes(pid));
  if (serving.length !== processes)
    throw new Error(`expected ${processes} that serve, found ${serving.length}`);
  return { subjects, serving };
}

/**
 * As on a machine with as many processors as there are processes that serve: each has one, and a load of its own there,
 * which asks for more at once than it can do. Everybody else has all of these processors. Nobody has another.
 */
async function turn({ subjects, serving }: Started, all: readonly number[], load: Load): Promise<Output> {
  const own = all.slice(-serving.length);
  for (const id of cpuByProcess(process.pid).keys()) keepTo(id, own);
  serving.forEach((id, at) => {
    keepTo(id, own.slice(at, at + 1));
  });
  const from = Date.now() + leadMs;
  const window: Window = { from, to: from + windowMs };
  const spent = (): number =>
    rootsOf(subjects)
      .flatMap((pid) => [...cpuByProcess(pid).values()])
      .reduce((sum, seconds) => sum + seconds, 0);
  const spentInWindow = async (): Promise<readonly [seconds: number, idle: number]> => {
    await pause(window.from - Date.now());
    const [spentBefore, idleBefore] = [spent(), idleSeconds(own)];
    await pause(window.to - Date.now());
    const idle = ((idleSeconds(own) - idleBefore) * 1000) / (windowMs * own.length);
    return [spent() - spentBefore, idle];
  };
  const ended = async (_: number, at: number): Promise<number> => {
    const child = load.during(subjects, window);
    keepTo(child.pid ?? 0, own.slice(at, at + 1));
    const withinMs = leadMs + windowMs + 30_000;
    const [said] = await Promise.all([
      firstOutput(child, "the load client", withinMs),
      finished(child, "the load client", withinMs),
    ]);
    return Number(said);
  };
  const [[seconds, idle], ...counts] = await Promise.all([spentInWindow(), ...serving.map(ended)]);
  const connections = counts.reduce((sum, count) => sum + count, 0);
  if (connections === 0) throw new Error("workers: nobody got through");
  return { rate: (connections * 1000) / windowMs, cpu: (seconds * 1_000_000) / connections, idle };
}

/** All are there at once: who has no turn has nothing to do. */
async function grown(name: string, bench: Bench, load: Load): Promise<Outputs> {
  const all = processors();
  if (all.length < 2) throw new Error("workers: expected two processors");
  const open: Subject[] = [];
  try {
    const begin = (shape: Shape): Promise<Started> => begun(shape, name, bench, open, load);
    const started = { one: await begin("one"), apart: await begin("apart"), workers: await begin("workers") };
    const outputs: Record<Shape, Output[]> = { one: [], apart: [], workers: [] };
    for (let times = 0; times < turns; times++)
      for (const shape of times % 2 === 0 ? shapes : shapes.toReversed())
        outputs[shape].push(await turn(started[shape], all, load));
    return outputs;
  } finally {
    for (const { process: child } of open) await end(child);
    for (const id of cpuByProcess(process.pid).keys()) keepTo(id, all);
  }
}

export async function measureWorkers(
  bench: Bench,
  names: readonly string[],
  load: Load,
  rounds: number,
): Promise<Readonly<Record<string, readonly Outputs[]>>> {
  const outputs: Record<string, Outputs[]> = {};
  for (let round = 0; round < rounds; round++)
    for (const name of names) outputs[name] = [...(outputs[name] ?? []), await grown(name, bench, load)];
  return outputs;
}

/**
 * How many times as much those that serve would do with processors to themselves as one process does with one: by their
 * CPU for a connection, and less where processors had to wait.
 */
const growth = (of: Output, one: Output): number => (2 * one.cpu * (1 - of.idle)) / (of.cpu * (1 - one.idle));

export function printWorkers(outputs: Readonly<Record<string, readonly Outputs[]>>): string {
  const lines = [
    "two workers, or two processes that have nothing in common, on a core each: times as much as one process on one core",
    "(lowest and highest turn), by the servers' CPU and idle processors; and times the connections a second, loads and",
    "upstream included",
  ];
  for (const [name, rounds] of Object.entries(outputs)) {
    const faster = (shape: Shape): string => {
      const pairs = rounds.flatMap((of) =>
        of[shape].flatMap((output, at) => {
          const one = of.one[at];
          return one === undefined ? [] : [{ growth: growth(output, one), rate: output.rate / one.rate }];
        }),
      );
      const grown = pairs.map((pair) => pair.growth);
      const range = `${Math.min(...grown).toFixed(2)} to ${Math.max(...grown).toFixed(2)}`;
      return `${median(grown).toFixed(2)} (${range}), ${median(pairs.map(({ rate }) => rate)).toFixed(2)}`;
    };
    const middle = (what: keyof Output, times = 1): string =>
      shapes
        .map((shape) =>
          (times * median(rounds.flatMap((of) => of[shape].map((each) => each[what])))).toFixed(0),
        )
        .join(" ");
    lines.push(
      `  ${name.padEnd(12)} workers ${faster("workers")}; apart ${faster("apart")}`,
      `    one, apart, workers: ${middle("rate")} connections/s, ${middle("cpu")} µs each, idle ${middle("idle", 100)} %`,
    );
  }
  return lines.join("\n");
}
