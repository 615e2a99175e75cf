import { readdirSync, readFileSync } from "node:fs";

/** What the processes of a router hold, at one moment. */
export interface Vitals {
  /** Resident memory of all of them, MiB. */
  readonly memory: number;
  readonly descriptors: number;
}

/** A process and those that it has started, their children too. */
function familyOf(pid: number): readonly number[] {
  const children = new Map<number, number[]>();
  for (const entry of readdirSync("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      // The name of the program stands in parentheses, and may hold some itself.
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      children.set(parent, [...(children.get(parent) ?? []), Number(entry)]);
    } catch {
      // Gone meanwhile.
    }
  }
  const family = [pid];
  for (const one of family) family.push(...(children.get(one) ?? []));
  return family;
}

export function vitalsOf(pid: number): Vitals {
  let memory = 0;
  let descriptors = 0;
  for (const one of familyOf(pid)) {
    try {
      memory += Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${one}/status`, "utf8"))?.[1] ?? 0) / 1024;
      descriptors += readdirSync(`/proc/${one}/fd`).length;
    } catch {
      // A worker that was killed.
    }
  }
  return { memory, descriptors };
}

const mean = (numbers: readonly number[]): number =>
  numbers.reduce((sum, one) => sum + one, 0) / Math.max(numbers.length, 1);

/** How the last third of the samples compares to the second: 1 is flat. */
export function growth(samples: readonly number[]): number {
  const third = Math.floor(samples.length / 3);
  return mean(samples.slice(2 * third)) / mean(samples.slice(third, 2 * third));
}
