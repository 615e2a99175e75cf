import { DiagLogLevel, diag } from "@opentelemetry/api";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import {
  defaultResource,
  detectResources,
  envDetector,
  resourceFromAttributes,
} from "@opentelemetry/resources";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { version } from "../version.ts";
import { RouterMetrics } from "./metrics.ts";
import { ConnectionIds, Traces } from "./traces.ts";

/** A collector that is away is no news every second. */
const complainEveryMs = 60_000;
/** For what waits when the router ends. */
const lastMs = 3000;

export interface ExportOptions {
  readonly traces: boolean;
  /** What to export of what is counted; `null`: nothing. */
  readonly metrics: (() => Metrics | Promise<Metrics>) | null;
  readonly metricsEveryMs: number;
  /** Tells processes of one service apart. */
  readonly instance: string;
  readonly log: Log;
}

export interface Export {
  readonly traces: Traces | null;
  close(): Promise<void>;
}

function complain(log: Log): void {
  let last = Number.NEGATIVE_INFINITY;
  const say = (message: string): void => {
    if (performance.now() - last < complainEveryMs) return;
    last = performance.now();
    log.warn("OpenTelemetry", { problem: message.slice(0, 500) });
  };
  const nothing = (): void => {};
  const logger = { error: say, warn: say, info: nothing, debug: nothing, verbose: nothing };
  diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
}

/** Begins to export by OTLP over HTTP. Where to, and how, the SDK reads in the variables `OTEL_*`. */
export function startExport(options: ExportOptions): Export {
  const { traces, metrics, metricsEveryMs, instance, log } = options;
  complain(log);
  const own = resourceFromAttributes({
    "service.name": "sallyport",
    "service.version": version,
    "service.instance.id": instance,
  });
  const resource = defaultResource()
    .merge(own)
    .merge(detectResources({ detectors: [envDetector] }));
  const ids = new ConnectionIds();
  const tracing = traces
    ? new BasicTracerProvider({
        resource,
        idGenerator: ids,
        spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
      })
    : null;
  const metering =
    metrics === null
      ? null
      : new MeterProvider({
          resource,
          readers: [
            new PeriodicExportingMetricReader({
              exporter: new OTLPMetricExporter(),
              exportIntervalMillis: metricsEveryMs,
              exportTimeoutMillis: Math.min(metricsEveryMs, 30_000),
              metricProducers: [new RouterMetrics(metrics, resource)],
            }),
          ],
        });
  return {
    traces: tracing === null ? null : new Traces(tracing.getTracer("sallyport", version), ids),
    close: async () => {
      let late: ReturnType<typeof setTimeout> | undefined;
      const patience = new Promise<void>((resolve) => {
        late = setTimeout(resolve, lastMs);
      });
      const all = Promise.allSettled([tracing?.shutdown(), metering?.shutdown()]);
      await Promise.race([all, patience]);
      clearTimeout(late);
    },
  };
}
