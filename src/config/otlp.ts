import type { ConfigProblem } from "../errors.ts";
import type { Environment } from "./environment.ts";
import type { Values } from "./variables.ts";

/** What is exported by OTLP. */
export interface OtlpConfig {
  readonly traces: boolean;
  readonly metrics: boolean;
}

export function otlpConfig(values: Values, env: Environment, problems: ConfigProblem[]): OtlpConfig {
  const what = values.SALLYPORT_OTLP ?? "off";
  if (what !== "off") {
    for (const name of [
      "OTEL_EXPORTER_OTLP_PROTOCOL",
      "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
      "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    ])
      if (!["http/json", "", undefined].includes(env[name]))
        problems.push({
          name,
          message: `with SALLYPORT_OTLP=${what}, expected http/json: the one way there is`,
        });
    for (const name of [
      "OTEL_EXPORTER_OTLP_ENDPOINT",
      "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
      "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    ]) {
      const url = env[name] ?? "";
      // The SDK would go on with its default, and the records with it. It may hold a secret: not repeated.
      if (url !== "" && !(/^https?:\/\/[^/]/i.test(url) && URL.canParse(url)))
        problems.push({
          name,
          message: `with SALLYPORT_OTLP=${what}, expected an http:// or https:// URL such as http://127.0.0.1:4318`,
        });
    }
  }
  return { traces: what === "traces" || what === "all", metrics: what === "metrics" || what === "all" };
}
