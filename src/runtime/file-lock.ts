import { lstatSync, readlinkSync, renameSync, symlinkSync, unlinkSync } from "node:fs";
import { hostname } from "node:os";

/** Who waits longer has found a holder that is stuck. */
const patienceMs = 10_000;
/** A holder of another machine, of whom nobody can tell whether it is alive, has it for milliseconds. */
const staleMs = 60_000;

const codeOf = (error: unknown): unknown => (error as { readonly code?: unknown }).code;

const here = hostname();

/** Whether whoever took the lock is gone. */
function isStale(path: string, holder: string): boolean {
  const [, pid, host] = /^(\d+)@(.*)#/.exec(holder) ?? [];
  if (host === here) {
    try {
      process.kill(Number(pid), 0);
    } catch (error) {
      return codeOf(error) === "ESRCH";
    }
  }
  const taken = lstatSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now();
  return Date.now() - taken > staleMs;
}

let locks = 0;

/**
 * Does something while no other process does that takes the same lock: a symbolic link, which can be made once, takes
 * no room on a disk that is full, and says who made it. Rejects where it can't be had.
 */
export async function whileLocked<T>(path: string, work: () => T): Promise<T> {
  const self = `${process.pid}@${here}#${++locks}`;
  const until = performance.now() + patienceMs;
  for (;;) {
    try {
      symlinkSync(self, path);
      break;
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    }
    breakIfStale(path, self);
    if (performance.now() > until) throw new Error(`${path} is held by another process`);
    await new Promise((resolve) => setTimeout(resolve, 1 + Math.random() * 4));
  }
  try {
    return work();
  } finally {
    unlinkSync(path);
  }
}

function breakIfStale(path: string, self: string): void {
  try {
    const holder = readlinkSync(path);
    if (!isStale(path, holder)) return;
    const aside = `${path}.${self.replace(/[^\w.-]/g, "-")}`;
    renameSync(path, aside);
    // Somebody else may have broken it in between, and taken it: theirs goes back.
    if (readlinkSync(aside) === holder) unlinkSync(aside);
    else renameSync(aside, path);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
}
