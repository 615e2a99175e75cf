import { readdirSync, readFileSync } from "node:fs";

/** Clock ticks a second, as /proc counts them on Linux. */
const hertz = 100;

interface Stat {
  readonly pid: number;
  readonly parent: number;
  readonly cpu: number;
}

function stat(pid: number): Stat | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { pid, parent: Number(fields[1]), cpu: (Number(fields[11]) + Number(fields[12])) / hertz };
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

/** User and system CPU seconds so far, all threads. */
export const cpuSeconds = (pid: number): number => family(pid).reduce((sum, { cpu }) => sum + cpu, 0);

/** Resident memory that is not shared with other processes, bytes. */
export const memoryBytes = (pid: number): number =>
  family(pid).reduce((sum, member) => {
    try {
      const text = readFileSync(`/proc/${member.pid}/smaps_rollup`, "utf8");
      const pss = /^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? "0";
      return sum + Number(pss) * 1024;
    } catch {
      return sum;
    }
  }, 0);
