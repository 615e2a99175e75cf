import type { Config } from "../config/load.ts";
import { ConfigError } from "../errors.ts";
import { cores } from "../runtime/cores.ts";

/** How many processes a configuration asks for. */
export const workersOf = ({ workers }: Config): number => (workers === "auto" ? cores() : workers);

/** What every worker gets a share of must be enough for all. */
export function checkShares(config: Config, workers: number): void {
  const problems = config.table.routes.flatMap(({ variable, http }) => {
    const most = http?.maxRequests ?? workers;
    const message = `max_requests=${most} is for each worker in part: expected ${workers} at least, with SALLYPORT_WORKERS=${config.workers}`;
    return most < workers ? [{ name: variable, message }] : [];
  });
  if (problems.length > 0) throw new ConfigError(problems);
}
