import { readdirSync, readFileSync } from "node:fs";

/** What a process may have open at once, sockets included, and what it has. */
export interface OpenFiles {
  readonly limit: number;
  readonly open: number;
}

/** Of this process, now; `null` where the system does not say (it is Linux that does). */
export function openFiles(): OpenFiles | null {
  try {
    const [, limit] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
    return limit === undefined ? null : { limit: Number(limit), open: readdirSync("/proc/self/fd").length };
  } catch {
    return null;
  }
}
