import type { Config } from "../config/load.ts";
import { ConfigError } from "../errors.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { restartOnly } from "./restart-only.ts";
import { changesOf, keepUnchanged } from "./unchanged.ts";

export interface ReloadParts {
  readonly log: Log;
  readonly metrics: Metrics;
  /** The configuration that is in use. */
  readonly before: Config;
  /** Reads everything anew, as at start. */
  readonly read: () => Config;
  /** Takes it into use, wholly or not at all. */
  readonly apply: (config: Config) => Promise<void>;
}

/** All or nothing: where anything is wrong, what is in use stays in use. Never rejects; the log and the metrics tell. */
export async function attemptReload(why: string, parts: ReloadParts): Promise<void> {
  const { log, metrics, before, read, apply } = parts;
  try {
    const found = read();
    const problems = restartOnly(found, before);
    if (problems.length > 0) throw new ConfigError(problems);
    const config = keepUnchanged(found, before);
    await apply(config);
    metrics.reloads.add(1, "ok");
    metrics.lastReload.set(Math.floor(Date.now() / 1000));
    for (const warning of config.warnings) if (!before.warnings.includes(warning)) log.warn(warning);
    const changed = Object.entries(changesOf(config, before)).filter(([, names]) => names.length > 0);
    log.info("the configuration was read anew", { why, ...Object.fromEntries(changed) });
  } catch (error) {
    metrics.reloads.add(1, "failed");
    const problems =
      error instanceof ConfigError
        ? error.problems.map(({ name, message }) => `${name}: ${message}`)
        : [error instanceof Error ? error.message : String(error)];
    log.error("the configuration was read anew and can't be used; the one before stays", { why, problems });
  }
}
