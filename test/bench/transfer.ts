import { fileURLToPath } from "node:url";
import { finished, start } from "./children.ts";
import type { Bench } from "./subjects.ts";

/** Throughput of one way, MiB a second of the clock: everything is on this machine. */
export type Throughputs = Readonly<Record<string, readonly number[]>>;

export const directions = ["down", "up"] as const;
const oneJobMs = 60_000;
const mebibyte = 1024 * 1024;

const ending = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
const loadScript = fileURLToPath(new URL(`load${ending}`, import.meta.url));

/**
 * Moves `size` bytes, and says how many MiB a second that were.
 *
 * @param serverName the route's; `null`: a plain connection
 */
export async function transfer(
  bench: Bench,
  direction: (typeof directions)[number],
  port: number,
  serverName: string | null,
  size: number,
): Promise<number> {
  const files = {
    ca: `${bench.folder}/ca.crt`,
    cert: `${bench.folder}/client.crt`,
    key: `${bench.folder}/client.key`,
  };
  const task = {
    work: direction,
    ports: [port],
    serverName: serverName ?? "",
    ...files,
    count: size,
    parallel: 1,
    plain: serverName === null,
  };
  const started = performance.now();
  await finished(
    start(process.execPath, [loadScript, JSON.stringify(task)], { stdio: ["pipe", "pipe", "inherit"] }),
    "the load client",
    oneJobMs,
  );
  return size / mebibyte / ((performance.now() - started) / 1000);
}

export const median = (values: readonly number[] = []): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** What is compared with what, in the same round. */
export interface Comparison {
  readonly way: string;
  readonly base: string;
}

/** Ratios of ways that were measured as `DIRECTION, WAY`, a line each. */
export function ratios(
  title: string,
  measured: Readonly<Record<string, Throughputs>>,
  comparisons: readonly Comparison[],
): string {
  const lines = [title];
  for (const direction of directions) {
    for (const { way, base } of comparisons) {
      const cells = Object.entries(measured).map(([name, values]) => {
        const without = values[`${direction}, ${base}`] ?? [];
        const there = values[`${direction}, ${way}`] ?? [];
        const ratio = median(there.map((value, round) => value / (without[round] ?? Number.NaN)));
        return `${name} ${ratio.toFixed(2)} (${median(there).toFixed(0)} of ${median(without).toFixed(0)})`;
      });
      lines.push(`  ${`${direction}, ${way}`.padEnd(26)}${cells.join("   ")}`);
    }
  }
  return lines.join("\n");
}
