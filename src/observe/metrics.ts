/** Label values in the order in which the metric declares its label names. */
type Labels = readonly string[];

/** One series of a metric, as processes tell it to each other: a number, or a histogram's counts. */
export interface Series {
  readonly labels: Labels;
  readonly value: number;
  /** By bucket, of a histogram. */
  readonly counts?: readonly number[] | undefined;
}

/** Everything that was counted, by metric. */
export type Snapshot = Readonly<Record<string, readonly Series[]>>;

const escapeLabel = (value: string): string =>
  value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");

function labelSet(names: readonly string[], values: Labels, more = ""): string {
  const pairs = names.map((name, i) => `${name}="${escapeLabel(values[i] ?? "")}"`);
  if (more !== "") pairs.push(more);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

/** Counting is done for every connection: putting texts together by hand is several times as fast as `join`. */
function keyOf(values: Labels): string {
  let key = values[0] ?? "";
  for (let i = 1; i < values.length; i++) key += `\u0000${values[i]}`;
  return key;
}

export abstract class Metric {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  readonly type: "counter" | "gauge" | "histogram";

  constructor(type: Metric["type"], name: string, help: string, labels: readonly string[]) {
    this.type = type;
    this.name = name;
    this.help = help;
    this.labels = labels;
  }

  abstract samples(): Iterable<string>;

  abstract series(): readonly Series[];

  /** Adds what another process counted. */
  abstract absorb(series: Series): void;

  *lines(): Iterable<string> {
    yield `# HELP ${this.name} ${this.help}`;
    yield `# TYPE ${this.name} ${this.type}`;
    yield* this.samples();
  }
}

/** The number of one set of label values. */
export interface Counter {
  value: number;
}

/** A counter or a gauge: one number for each set of label values. */
export class Value extends Metric {
  readonly #values = new Map<string, Counter & { readonly labels: Labels }>();
  readonly #together: "sum" | "least";

  /** @param together what the values of several processes make: `least` where each says the same of one thing */
  constructor(
    type: "counter" | "gauge",
    name: string,
    help: string,
    labels: readonly string[],
    together: "sum" | "least" = "sum",
  ) {
    super(type, name, help, labels);
    this.#together = together;
  }

  /** The number itself, 0 where nothing was counted: for whoever counts often. It holds until the next `clear`. */
  of(...labels: string[]): Counter {
    const key = keyOf(labels);
    let entry = this.#values.get(key);
    if (entry === undefined) {
      entry = { labels, value: 0 };
      this.#values.set(key, entry);
    }
    return entry;
  }

  add(amount: number, ...labels: string[]): void {
    this.of(...labels).value += amount;
  }

  set(value: number, ...labels: string[]): void {
    this.of(...labels).value = value;
  }

  series(): readonly Series[] {
    return [...this.#values.values()].map(({ labels, value }) => ({ labels, value }));
  }

  absorb({ labels, value }: Series): void {
    const known = this.#values.get(keyOf(labels))?.value;
    if (this.#together === "sum") this.add(value, ...labels);
    else this.set(Math.min(value, known ?? value), ...labels);
  }

  /** Forgets every sample. */
  clear(): void {
    this.#values.clear();
  }

  *samples(): Iterable<string> {
    for (const { labels, value } of this.#values.values()) {
      yield `${this.name}${labelSet(this.labels, labels)} ${value}`;
    }
  }
}

/** Upper bounds in seconds, from half a millisecond to ten seconds. */
export const bounds = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
] as const;

/** Durations in seconds. */
export class Histogram extends Metric {
  readonly #series = new Map<string, { readonly labels: Labels; readonly counts: number[]; sum: number }>();

  #of(labels: Labels): { readonly counts: number[]; sum: number } {
    const key = keyOf(labels);
    let series = this.#series.get(key);
    if (series === undefined) {
      series = { labels, counts: new Array(bounds.length + 1).fill(0), sum: 0 };
      this.#series.set(key, series);
    }
    return series;
  }

  series(): readonly Series[] {
    return [...this.#series.values()].map(({ labels, counts, sum }) => ({
      labels,
      value: sum,
      counts: [...counts],
    }));
  }

  absorb({ labels, value, counts = [] }: Series): void {
    const series = this.#of(labels);
    series.sum += value;
    for (const [i, count] of counts.slice(0, bounds.length + 1).entries())
      series.counts[i] = (series.counts[i] ?? 0) + count;
  }

  observe(seconds: number, ...labels: string[]): void {
    const series = this.#of(labels);
    let bucket = 0;
    while (bucket < bounds.length && seconds > (bounds[bucket] ?? 0)) bucket++;
    series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
    series.sum += seconds;
  }

  *samples(): Iterable<string> {
    for (const { labels, counts, sum } of this.#series.values()) {
      let total = 0;
      for (const [i, count] of counts.entries()) {
        total += count;
        const le = i < bounds.length ? String(bounds[i]) : "+Inf";
        yield `${this.name}_bucket${labelSet(this.labels, labels, `le="${le}"`)} ${total}`;
      }
      yield `${this.name}_sum${labelSet(this.labels, labels)} ${sum}`;
      yield `${this.name}_count${labelSet(this.labels, labels)} ${total}`;
    }
  }
}

/** Everything the router counts, as Prometheus text (exposition format 0.0.4). */
export class Metrics {
  readonly connections = new Value(
    "counter",
    "sallyport_connections_total",
    "Connections that ended or were refused.",
    ["route", "outcome", "reason"],
  );
  readonly limited = new Value(
    "counter",
    "sallyport_limited_total",
    "Connections that a limit of the router refused or ended, by the limit.",
    ["limit"],
  );
  readonly active = new Value(
    "gauge",
    "sallyport_connections_active",
    "Connections that are open on a route.",
    ["route"],
  );
  readonly handshake = new Histogram(
    "histogram",
    "sallyport_handshake_seconds",
    "From accepting a connection to its finished TLS handshake.",
    [],
  );
  readonly verify = new Histogram(
    "histogram",
    "sallyport_client_verify_seconds",
    "Verifying a client's certificate chain.",
    [],
  );
  readonly bytes = new Value("counter", "sallyport_bytes_total", "Payload bytes carried.", [
    "route",
    "direction",
  ]);
  readonly upstreamConnect = new Histogram(
    "histogram",
    "sallyport_upstream_connect_seconds",
    "Dialling a route's upstream, its TLS handshake included.",
    ["route"],
  );
  readonly certificateExpiry = new Value(
    "gauge",
    "sallyport_certificate_expiry_seconds",
    "Seconds until a server certificate expires.",
    ["name"],
    "least",
  );
  readonly acmeOrders = new Value(
    "counter",
    "sallyport_acme_orders_total",
    "Certificates ordered by ACME, by how it went.",
    ["name", "result"],
  );
  readonly crlExpiry = new Value(
    "gauge",
    "sallyport_crl_expiry_seconds",
    "Seconds until a source's first revocation list expires.",
    ["source"],
    "least",
  );
  readonly crlRefresh = new Value(
    "counter",
    "sallyport_crl_refresh_total",
    "Revocation lists read or asked for anew, by how it went.",
    ["source", "result"],
  );
  readonly ocspRequests = new Value(
    "counter",
    "sallyport_ocsp_requests_total",
    "Questions to OCSP responders, by what came of them.",
    ["result"],
  );
  readonly tunnelAgents = new Value("gauge", "sallyport_tunnel_agents", "Agents that are connected.", []);
  readonly reloads = new Value(
    "counter",
    "sallyport_reload_total",
    "Configurations read anew, by how it went.",
    ["result"],
  );
  readonly lastReload = new Value(
    "gauge",
    "sallyport_reload_last_success_timestamp_seconds",
    "When the configuration that is in use was read, seconds since 1970.",
    [],
    "least",
  );
  readonly build = new Value(
    "gauge",
    "sallyport_build_info",
    "What is running.",
    ["version", "runtime"],
    "least",
  );
  readonly auditWaiting = new Value(
    "gauge",
    "sallyport_audit_waiting",
    "Audit records that wait to be written.",
    [],
  );
  readonly auditLost = new Value(
    "counter",
    "sallyport_audit_lost_total",
    "Audit records that were lost: the log could not be written, and too many waited.",
    [],
  );
  readonly workers = new Value("gauge", "sallyport_workers", "Worker processes that are ready.", []);
  readonly workersStarted = new Value(
    "counter",
    "sallyport_workers_started_total",
    "Worker processes that were started, the first ones and those that replaced others.",
    [],
  );

  readonly stateUp = new Value(
    "gauge",
    "sallyport_state_up",
    "Whether the state that several routers share is connected.",
    [],
    "least",
  );
  readonly stateLost = new Value(
    "counter",
    "sallyport_state_lost_total",
    "How often the state that several routers share was lost, by workers.",
    [],
  );

  /** Every metric, in the order in which they are told. */
  get all(): readonly Metric[] {
    return [
      this.connections,
      this.limited,
      this.active,
      this.handshake,
      this.verify,
      this.bytes,
      this.upstreamConnect,
      this.certificateExpiry,
      this.acmeOrders,
      this.crlExpiry,
      this.crlRefresh,
      this.ocspRequests,
      this.tunnelAgents,
      this.reloads,
      this.lastReload,
      this.build,
      this.auditWaiting,
      this.auditLost,
      this.workers,
      this.workersStarted,
      this.stateUp,
      this.stateLost,
    ];
  }

  /** How it stands with audit records. */
  recording({ waiting, lost }: { readonly waiting: number; readonly lost: number }): void {
    this.auditWaiting.set(waiting);
    this.auditLost.set(lost);
  }

  snapshot(): Snapshot {
    return Object.fromEntries(this.all.map((metric) => [metric.name, metric.series()]));
  }

  /** Adds what another process counted; of one that is gone, `counters` alone: it has nothing open any more. */
  absorb(snapshot: Snapshot, which: "all" | "counters" = "all"): void {
    for (const metric of this.all) {
      if (which === "counters" && metric.type === "gauge") continue;
      for (const series of snapshot[metric.name] ?? []) metric.absorb(series);
    }
  }

  text(): string {
    return `${this.all.flatMap((metric) => [...metric.lines()]).join("\n")}\n`;
  }
}
