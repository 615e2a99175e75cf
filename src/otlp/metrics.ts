import { ValueType } from "@opentelemetry/api";
import type { Resource } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  type CollectionResult,
  DataPointType,
  type MetricData,
  type MetricProducer,
} from "@opentelemetry/sdk-metrics";
import { bounds, type Metrics } from "../observe/metrics.ts";

type HrTime = [number, number];

const hrTime = (ms: number): HrTime => [Math.floor(ms / 1000), Math.round((ms % 1000) * 1e6)];

/** What the router counts, as OTLP has it: the same names as at `/metrics`, counted since the start. */
export class RouterMetrics implements MetricProducer {
  readonly #counted: () => Metrics | Promise<Metrics>;
  readonly #resource: Resource;
  readonly #since = hrTime(Date.now());

  constructor(counted: () => Metrics | Promise<Metrics>, resource: Resource) {
    this.#counted = counted;
    this.#resource = resource;
  }

  async collect(): Promise<CollectionResult> {
    const metrics = this.#data(await this.#counted());
    const scopeMetrics = [{ scope: { name: "sallyport" }, metrics }];
    return { resourceMetrics: { resource: this.#resource, scopeMetrics }, errors: [] };
  }

  #data(metrics: Metrics): MetricData[] {
    const times = { startTime: this.#since, endTime: hrTime(Date.now()) };
    return metrics.all.map((metric): MetricData => {
      const { name, help, type, labels } = metric;
      const unit = /_seconds$/.test(name) ? "s" : /_bytes_total$/.test(name) ? "By" : "1";
      const common = {
        descriptor: { name, description: help, unit, valueType: ValueType.DOUBLE },
        aggregationTemporality: AggregationTemporality.CUMULATIVE,
      };
      const series = metric.series().map((one) => ({
        ...one,
        attributes: Object.fromEntries(labels.map((label, i) => [label, one.labels[i] ?? ""])),
      }));
      if (type === "histogram") {
        const dataPoints = series.map(({ attributes, value: sum, counts = [] }) => ({
          ...times,
          attributes,
          value: {
            buckets: { boundaries: [...bounds], counts: [...counts] },
            sum,
            count: counts.reduce((a, b) => a + b, 0),
          },
        }));
        return { ...common, dataPointType: DataPointType.HISTOGRAM, dataPoints };
      }
      const dataPoints = series.map(({ attributes, value }) => ({ ...times, attributes, value }));
      return type === "counter"
        ? { ...common, dataPointType: DataPointType.SUM, dataPoints, isMonotonic: true }
        : { ...common, dataPointType: DataPointType.GAUGE, dataPoints };
    });
  }
}
