import { readdirSync, readFileSync } from "node:fs";

/** Clock ticks a second, as /proc counts them on Linux. */
const hertz = 100;

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly cpu: number;
}

/** Fields are numbered as in proc(5): 4 ppid, 14 utime, 15 stime, 16 cutime, 17 cstime. */
function stat(pid: number | "self"): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name, field 2, is in brackets and may hold anything.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const ticks = [14, 15, 16, 17].reduce((sum, field) => sum + Number(fields[field - 3]), 0);
    return { pid: Number(text.slice(0, text.indexOf(" "))), parent: Number(fields[1]), cpu: ticks / hertz };
  } catch {
    return null;
  }
}

/** The process and everything it started. */
function family(root: number): Stat[] {
  const all = readdirSync("/proc").flatMap((entry) => {
    const one = /^\d+$/.test(entry) ? stat(Number(entry)) : null;
    return one === null ? [] : [one];
  });
  const members = all.filter(({ pid }) => pid === root);
  for (const member of members) members.push(...all.filter(({ parent }) => parent === member.pid));
  return members;
}

/** The sum of one line of a file under /proc over the process and everything it started, bytes. */
function bytes(root: number, file: string, label: string): number {
  return family(root).reduce((sum, { pid }) => {
    try {
      const text = readFileSync(`/proc/${pid}/${file}`, "utf8");
      const line = text.split("\n").find((each) => each.startsWith(`${label}:`));
      return sum + Number(line?.match(/(\d+) kB/)?.[1] ?? 0) * 1024;
    } catch {
      // It has ended since it was listed.
      return sum;
    }
  }, 0);
}

/** User and system CPU seconds so far: all threads, children that live and children that were waited for. */
export const cpuSeconds = (pid: number): number => family(pid).reduce((sum, { cpu }) => sum + cpu, 0);

/** Of the process that asks, microseconds; in steps of ten milliseconds. */
export const ownCpuMicroseconds = (): number => (stat("self")?.cpu ?? Number.NaN) * 1_000_000;

/** The same as `cpuSeconds`, of each process by itself. */
export const cpuByProcess = (pid: number): ReadonlyMap<number, number> =>
  new Map(family(pid).map((one) => [one.pid, one.cpu]));

/** How long these processors together had nothing to do so far; waiting for a disk is nothing (proc(5): 4 idle, 5 iowait). */
export function idleSeconds(processors: readonly number[]): number {
  const lines = readFileSync("/proc/stat", "utf8").split("\n");
  return processors.reduce((sum, id) => {
    const fields = lines.find((line) => line.startsWith(`cpu${id} `))?.split(" ") ?? [];
    return sum + (Number(fields[4]) + Number(fields[5])) / hertz;
  }, 0);
}

/** Memory now, bytes; what is shared with other processes counts in proportion. */
export const memoryBytes = (pid: number): number => bytes(pid, "smaps_rollup", "Pss");

/** The most that was ever resident, bytes. */
export const peakMemoryBytes = (pid: number): number => bytes(pid, "status", "VmHWM");
