import { hostname } from "node:os";
import type { Config } from "../config/load.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import type { Export } from "../otlp/export.ts";
import type { Runtime } from "../types.ts";
import type { CliIo } from "./command.ts";

const nothing: Export = { traces: null, close: async () => {} };

/**
 * What this process exports by OTLP. The SDK is loaded where that was asked for, and not otherwise.
 *
 * @param metrics `null`: another process exports them
 */
export async function openExport(
  { otlp }: Config,
  env: CliIo["env"],
  { processId }: Runtime,
  log: Log,
  which: { readonly traces: boolean; readonly metrics: (() => Metrics | Promise<Metrics>) | null },
): Promise<Export> {
  const traces = otlp.traces && which.traces;
  const metrics = otlp.metrics ? which.metrics : null;
  if (!traces && metrics === null) return nothing;
  const { startExport } = await import("../otlp/export.ts");
  const every = Number(env.OTEL_METRIC_EXPORT_INTERVAL ?? "60000");
  return startExport({
    traces,
    metrics,
    metricsEveryMs: Number.isInteger(every) && every >= 100 ? every : 60_000,
    instance: `${hostname()}-${processId}`,
    log,
  });
}
