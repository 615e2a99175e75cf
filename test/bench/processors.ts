import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";

/** Those that this process may use, by number. */
export function processors(): readonly number[] {
  const [, list = ""] = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  return list.split(",").flatMap((range) => {
    const [from = 0, to = from] = range.split("-").map(Number);
    return Array.from({ length: to - from + 1 }, (_, at) => from + at);
  });
}

/** From now on a process, all threads of it and whatever it starts run there alone. It may have ended. */
export function keepTo(pid: number, at: readonly number[]): void {
  const list = at.join(",");
  const { error, status } = spawnSync("taskset", ["--all-tasks", "--cpu-list", "--pid", list, String(pid)]);
  if (error !== undefined) throw new Error(`taskset is needed (util-linux): ${error.message}`);
  if (status !== 0 && existsSync(`/proc/${pid}`))
    throw new Error(`taskset could not keep process ${pid} to processors ${list}`);
}
