import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { after, before, describe, it } from "node:test";
import { atEnd } from "../support/at-end.ts";
import { dial, firstBytes } from "../support/client.ts";
import {
  createSite,
  environment,
  type Site,
  sallyport,
  startRouter,
  type TestRouter,
} from "../support/router.ts";
import { run } from "../support/run.ts";
import { echo, tcpUpstream, type Upstream } from "../support/upstreams.ts";

type Value = {
  readonly stringValue?: string;
  readonly intValue?: number | string;
  readonly boolValue?: boolean;
};
interface Attribute {
  readonly key: string;
  readonly value: Value;
}
interface OtlpSpan {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
  readonly status: { readonly code: number; readonly message?: string };
}
interface Point {
  readonly attributes: readonly Attribute[];
  readonly asDouble?: number;
  readonly count?: number | string;
  readonly bucketCounts?: readonly (number | string)[];
}
interface OtlpMetric {
  readonly name: string;
  readonly unit: string;
  readonly sum?: { readonly dataPoints: readonly Point[]; readonly isMonotonic: boolean };
  readonly gauge?: { readonly dataPoints: readonly Point[] };
  readonly histogram?: { readonly dataPoints: readonly Point[] };
}
interface Resource {
  readonly attributes: readonly Attribute[];
}

/** What a collector takes: OTLP over HTTP, JSON. */
class Collector {
  readonly spans: OtlpSpan[] = [];
  readonly resources: Resource[] = [];
  metrics: readonly OtlpMetric[] = [];
  requests = 0;
  authorization: string | undefined;
  readonly #server: Server;

  private constructor() {
    this.#server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => {
        body += chunk;
      });
      request.on("end", () => {
        this.requests++;
        this.authorization = request.headers.authorization;
        assert.equal(request.headers["content-type"], "application/json");
        this.#take(request.url ?? "", JSON.parse(body));
        response.setHeader("content-type", "application/json").end("{}");
      });
    });
  }

  static async start(): Promise<Collector> {
    const collector = new Collector();
    await new Promise<void>((resolve) => collector.#server.listen(0, "127.0.0.1", resolve));
    atEnd(() => collector.#server.closeAllConnections());
    atEnd(() => collector.#server.close());
    return collector;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#server.address() as { port: number }).port}`;
  }

  #take(url: string, body: unknown): void {
    if (url === "/v1/traces") {
      const { resourceSpans } = body as {
        resourceSpans: { resource: Resource; scopeSpans: { spans: OtlpSpan[] }[] }[];
      };
      for (const { resource, scopeSpans } of resourceSpans) {
        this.resources.push(resource);
        for (const { spans } of scopeSpans) this.spans.push(...spans);
      }
      return;
    }
    assert.equal(url, "/v1/metrics");
    const { resourceMetrics } = body as {
      resourceMetrics: { resource: Resource; scopeMetrics: { metrics: OtlpMetric[] }[] }[];
    };
    for (const { resource, scopeMetrics } of resourceMetrics) {
      this.resources.push(resource);
      this.metrics = scopeMetrics.flatMap(({ metrics }) => metrics);
    }
  }
}

let site: Site;
let upstream: Upstream;

before(async () => {
  site = await createSite(["localhost", "a.test", "b.test"]);
  upstream = await tcpUpstream(echo);
});
after(() => {
  upstream?.close();
  site?.remove();
});

const serving = (more: Readonly<Record<string, string>>): Promise<TestRouter> =>
  startRouter(site, {
    SALLYPORT_ROUTE_A: `tcp://127.0.0.1:${upstream.port}?sni=a.test`,
    SALLYPORT_ROUTE_B: "tcp://127.0.0.1:1?sni=b.test",
    OTEL_BSP_SCHEDULE_DELAY: "100",
    OTEL_METRIC_EXPORT_INTERVAL: "200",
    ...more,
  });

async function visit(router: TestRouter, name = "a.test"): Promise<void> {
  const socket = await dial(site, router.port, name, { ALPNProtocols: ["sallyport-tcp"] });
  const closed = new Promise((resolve) => socket.once("close", resolve));
  socket.write("hello");
  await firstBytes(socket);
  socket.end();
  await closed;
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 2400; i++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`it never came to ${what}`);
}

const attributeOf = (of: readonly Attribute[], key: string): string | undefined => {
  const { stringValue, intValue, boolValue } = of.find((one) => one.key === key)?.value ?? {};
  return (stringValue ?? intValue ?? boolValue)?.toString();
};

async function ended(router: TestRouter): Promise<void> {
  const exit = new Promise((resolve) => router.process.once("exit", resolve));
  router.process.kill("SIGTERM");
  await exit;
}

describe("OpenTelemetry", () => {
  it("gets one trace a connection, with the connection's id and a span for each part of its way", async () => {
    const collector = await Collector.start();
    const router = await serving({
      SALLYPORT_OTLP: "traces",
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20abc",
      OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test",
    });
    await visit(router);
    const { id, source } = await router.record(({ route }) => route === "a");
    const trace = id.replaceAll("-", "");
    const spans = (): OtlpSpan[] => collector.spans.filter(({ traceId }) => traceId === trace);
    await until("a trace", () => spans().length === 6);
    const root = spans().find(({ parentSpanId = "" }) => parentSpanId === "");
    assert.equal(root?.name, "connection a");
    assert.equal(root.kind, 2);
    const at = (span: OtlpSpan | undefined): bigint => BigInt(span?.startTimeUnixNano ?? 0);
    const parts = spans()
      .filter((span) => span !== root)
      .sort((x, y) => (at(x) < at(y) ? -1 : 1));
    assert.deepEqual(parts.map(({ name }) => name).sort(), ["dial", "handshake", "hello", "serve", "verify"]);
    assert.deepEqual(
      parts.slice(0, 3).map(({ name }) => name),
      ["hello", "handshake", "verify"],
    );
    for (const part of parts) {
      assert.equal(part.parentSpanId, root.spanId);
      assert.ok(at(part) >= at(root) - 2_000_000n && BigInt(part.endTimeUnixNano) >= at(part), part.name);
      assert.equal(part.status.code, 0);
    }
    const dialled = parts.find(({ name }) => name === "dial")?.attributes ?? [];
    assert.equal(attributeOf(dialled, "server.port"), String(upstream.port));
    const { attributes } = root;
    assert.equal(
      `${attributeOf(attributes, "client.address")}:${attributeOf(attributes, "client.port")}`,
      source,
    );
    assert.equal(attributeOf(attributes, "tls.client.server_name"), "a.test");
    assert.match(attributeOf(attributes, "tls.protocol.version") ?? "", /^1\.[23]$/);
    assert.match(attributeOf(attributes, "tls.client.subject") ?? "", /CN=alice/);
    assert.equal(attributeOf(attributes, "sallyport.reason"), "ok");
    assert.equal(attributeOf(attributes, "sallyport.bytes_in"), "5");
    assert.equal(collector.authorization, "Bearer abc");
    const resource = collector.resources[0]?.attributes ?? [];
    assert.equal(attributeOf(resource, "service.name"), "sallyport");
    assert.equal(attributeOf(resource, "deployment.environment.name"), "test");

    // Refused is no fault of ours; failed is one of somebody's.
    await assert.rejects(dial(site, router.port, "unknown.test", { ALPNProtocols: ["sallyport-tcp"] }));
    await until("the refused one", () =>
      collector.spans.some(({ attributes }) => attributeOf(attributes, "error.type") === "unknown_name"),
    );
    const refused = collector.spans.find(
      ({ attributes }) => attributeOf(attributes, "error.type") === "unknown_name",
    );
    assert.deepEqual([refused?.name, refused?.status.code], ["connection", 0]);
    await visit(router, "b.test");
    await until("the failed one", () => collector.spans.some(({ name }) => name === "connection b"));
    const failed = collector.spans.find(({ name }) => name === "connection b");
    assert.equal(failed?.status.code, 2);
    const away = collector.spans.find(({ name, traceId }) => name === "dial" && traceId === failed?.traceId);
    assert.equal(attributeOf(away?.attributes ?? [], "error.type"), "upstream_unreachable");
    // What waits is sent at the end.
    await visit(router);
    await ended(router);
    assert.equal(collector.spans.filter(({ name }) => name === "connection a").length, 2);
  });

  it("gets what /metrics says, of all workers, and no trace where none is to be sampled", async () => {
    const collector = await Collector.start();
    const router = await serving({
      SALLYPORT_OTLP: "all",
      SALLYPORT_WORKERS: "2",
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint,
      OTEL_TRACES_SAMPLER: "always_off",
    });
    for (let i = 0; i < 6; i++) await visit(router);
    const find = (name: string): OtlpMetric | undefined => collector.metrics.find((one) => one.name === name);
    const served = (): Point | undefined =>
      find("sallyport_connections_total")?.sum?.dataPoints.find(
        ({ attributes }) =>
          attributeOf(attributes, "route") === "a" && attributeOf(attributes, "outcome") === "served",
      );
    await until("all counted", () => served()?.asDouble === 6);
    assert.equal(find("sallyport_connections_total")?.sum?.isMonotonic, true);
    const [handshakes] = find("sallyport_handshake_seconds")?.histogram?.dataPoints ?? [];
    assert.equal(Number(handshakes?.count), 6);
    assert.equal(
      handshakes?.bucketCounts?.map(Number).reduce((a, b) => a + b),
      6,
    );
    assert.equal(find("sallyport_workers")?.gauge?.dataPoints[0]?.asDouble, 2);
    const text = await (await fetch(`http://127.0.0.1:${router.adminPort}/metrics`)).text();
    const told = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
    const names = collector.metrics.map(({ name }) => name);
    assert.ok(names.length > 8 && names.every((name) => told.includes(name)), names.join());
    assert.equal(
      new Set(collector.resources.map(({ attributes }) => attributeOf(attributes, "service.instance.id")))
        .size,
      1,
    );
    assert.equal(collector.spans.length, 0);
    await ended(router);
  });

  it("may be away: nobody waits, and the log says so once", async () => {
    const router = await serving({
      SALLYPORT_OTLP: "all",
      OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1",
      OTEL_EXPORTER_OTLP_TIMEOUT: "500",
    });
    await visit(router);
    await until("a complaint", () => router.errors().includes('"message":"OpenTelemetry"'));
    await visit(router);
    await ended(router);
    assert.equal(router.errors().split('"message":"OpenTelemetry"').length, 2);
  });

  it("gets nothing unless that was asked for", async () => {
    const collector = await Collector.start();
    const router = await serving({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint });
    await visit(router);
    await ended(router);
    assert.equal(collector.requests, 0);
    const env = environment({ SALLYPORT_OTLP: "all", OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" });
    const { status, err } = await run(sallyport[0], [...sallyport.slice(1), "check"], { env });
    assert.equal(status, 2);
    assert.match(err, /OTEL_EXPORTER_OTLP_PROTOCOL: with SALLYPORT_OTLP=all, expected http\/json/);
  });
});
