import assert from "node:assert/strict";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, describe, it } from "node:test";
import { parse, stringify } from "yaml";
import { schemes } from "../../src/adapters/registry.ts";
import { loadConfig } from "../../src/config/load.ts";
import { Metrics } from "../../src/observe/metrics.ts";
import { files } from "../../src/runtime/files.ts";
import { missing, program } from "../support/programs.ts";
import { run } from "../support/run.ts";

const rulesAt = "docs/monitoring/sallyport-alerts.yml";
const dashboardAt = "docs/monitoring/sallyport-dashboard.json";

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string };
}
interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}
interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string; readonly definition?: string }[];
  };
}

const rules = (parse(readFileSync(rulesAt, "utf8")) as { groups: { rules: Rule[] }[] }).groups.flatMap(
  (group) => group.rules,
);
const dashboard = JSON.parse(readFileSync(dashboardAt, "utf8")) as Dashboard;
const metrics = new Map(new Metrics().all.map((metric) => [metric.name, metric]));

/** Of every series that Prometheus scrapes. */
const scraped = ["instance", "job"];

/** What is named that there is not: a metric, or a label of one. */
function unknownIn(expression: string): string[] {
  return [...expression.matchAll(/\b(sallyport_\w+)(?:\{([^}]*)\})?/g)].flatMap(
    ([, name = "", selector = ""]) => {
      const metric = metrics.get(name) ?? metrics.get(name.replace(/_(?:bucket|sum|count)$/, ""));
      if (metric === undefined) return [name];
      if (metric.name === name && metric.type === "histogram")
        return [`${name} without _bucket, _sum or _count`];
      if (metric.name !== name && metric.type !== "histogram") return [`${name}, which is no histogram`];
      const labels = [...selector.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g)].map(([, label = ""]) => label);
      return labels
        .filter((label) => ![...scraped, ...metric.labels].includes(label))
        .map((label) => `${name}{${label}}`);
    },
  );
}

/** Labels that an expression groups by, and that none of its metrics has. */
function groupedInVain(expression: string): string[] {
  const own = [...expression.matchAll(/\bsallyport_\w+/g)].flatMap(([name]) => {
    const metric = metrics.get(name) ?? metrics.get(name.replace(/_(?:bucket|sum|count)$/, ""));
    return [...(metric?.labels ?? []), ...(metric?.type === "histogram" ? ["le"] : [])];
  });
  return [...expression.matchAll(/\b(?:by|on)\s*\(([^)]*)\)/g)]
    .flatMap(([, labels = ""]) => labels.split(",").map((label) => label.trim()))
    .filter((label) => label !== "" && ![...scraped, ...own].includes(label));
}

const folder = mkdtempSync(join(tmpdir(), "sallyport-monitoring-"));
after(() => rmSync(folder, { recursive: true, force: true }));

describe("the Grafana dashboard", () => {
  const panels = dashboard.panels.filter(({ type }) => type !== "row");

  it("asks for metrics and labels that there are", () => {
    for (const { title, targets = [] } of panels) {
      assert.ok(targets.length > 0, title);
      for (const { expr, legendFormat } of targets) {
        assert.deepEqual([...unknownIn(expr), ...groupedInVain(expr)], [], title);
        const grouped = [...expr.matchAll(/by \(([^)]*)\)/g)].map(([, labels]) => labels).join();
        for (const [, label = ""] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
          assert.ok(grouped.includes(label), `${title}: ${label}`);
      }
    }
    for (const { type, definition = "" } of dashboard.templating.list)
      if (type === "query")
        assert.deepEqual(unknownIn(definition.replace(/^label_values\((\w+), (\w+)\)$/, "$1{$2=x}")), []);
  });

  it("has every panel once, and none over another", () => {
    assert.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
    const taken = new Set<string>();
    for (const { title, gridPos } of dashboard.panels)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          assert.ok(x < 24 && !taken.has(`${x} ${y}`), title);
          taken.add(`${x} ${y}`);
        }
  });
});

describe("the alerting rules", () => {
  it("ask for metrics and labels that there are", () => {
    for (const { alert, expr } of rules)
      assert.deepEqual([...unknownIn(expr), ...groupedInVain(expr)], [], alert);
    assert.deepEqual(
      unknownIn('sallyport_nothing + sallyport_connections_active{alpn="h2"} + sallyport_handshake_seconds'),
      [
        "sallyport_nothing",
        "sallyport_connections_active{alpn}",
        "sallyport_handshake_seconds without _bucket, _sum or _count",
      ],
    );
  });

  it("are each explained", () => {
    const page = readFileSync("docs/observability.md", "utf8");
    for (const { alert, labels, annotations } of rules) {
      assert.ok(page.includes(`\`${alert}\``), alert);
      assert.ok(["warning", "critical"].includes(labels.severity) && annotations.summary !== "", alert);
    }
  });

  it("are rules to Prometheus, and fire when they should", { skip: missing("promtool") }, async () => {
    const checked = await run(program("promtool"), ["check", "rules", rulesAt]);
    assert.equal(checked.status, 0, checked.err);
    const labels = '{instance="gate:8080",job="sallyport"';
    const series = (name: string, more: string, values: string) => ({
      series: `${name}${labels}${more}}`,
      values,
    });
    const tests = {
      rule_files: [resolve(rulesAt)],
      evaluation_interval: "1m",
      tests: [
        {
          interval: "1m",
          input_series: [
            series("sallyport_audit_lost_total", "", "0x15 5x15"),
            series("sallyport_audit_waiting", "", "0x30"),
            series("sallyport_state_up", "", "1x30"),
            series(
              "sallyport_connections_total",
              ',route="a",outcome="failed",reason="upstream_unreachable"',
              "0+60x30",
            ),
            series("sallyport_connections_total", ',route="a",outcome="served",reason="ok"', "0+60x30"),
            series("sallyport_connections_total", ',route="b",outcome="served",reason="ok"', "0+60x30"),
            series("sallyport_reload_total", ',result="failed"', "0 0 0 0 0 0 0 0 0 0 1x20"),
            series("sallyport_reload_last_success_timestamp_seconds", "", "0x30"),
            series("sallyport_workers", "", "2x30"),
            series("sallyport_workers_started_total", "", "2x17 3x13"),
          ],
          promql_expr_test: [
            "SallyportAuditLost",
            "SallyportUpstreamFails",
            "SallyportReloadFailed",
            "SallyportWorkerDies",
          ]
            .map((alert) => ({
              expr: `count(ALERTS{alertname="${alert}",alertstate="firing"})`,
              eval_time: "24m",
              exp_samples: [{ labels: "{}", value: 1 }],
            }))
            .concat(
              [
                "SallyportAuditWaits",
                "SallyportSharedStateDown",
                "SallyportWorkerMissing",
                "SallyportRefusesMany",
                "SallyportLimitReached",
              ].map((alert) => ({
                expr: `count(ALERTS{alertname="${alert}"})`,
                eval_time: "24m",
                exp_samples: [],
              })),
            ),
        },
      ],
    };
    const path = join(folder, "tests.yml");
    writeFileSync(path, stringify(tests));
    const tested = await run(program("promtool"), ["test", "rules", path]);
    assert.equal(tested.status, 0, tested.out + tested.err);
  });
});

describe("docs/observability.md", () => {
  const page = readFileSync("docs/observability.md", "utf8");

  it("lists metrics that there are, with their labels", () => {
    const rows = [...page.matchAll(/^\| `(sallyport_\w+)` \| ([^|]*) \|/gm)];
    assert.ok(rows.length > 15);
    for (const [, name = "", labels = ""] of rows)
      assert.deepEqual(
        [...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label),
        metrics.get(name)?.labels,
        name,
      );
  });

  it("has a Prometheus configuration that is one, with these rules", {
    skip: missing("promtool"),
  }, async () => {
    const [, block = ""] = /```yaml\n(scrape_configs:[\s\S]*?)```/.exec(page) ?? [];
    writeFileSync(join(folder, "prometheus.yml"), block);
    copyFileSync(rulesAt, join(folder, "sallyport-alerts.yml"));
    const { status, out, err } = await run(program("promtool"), [
      "check",
      "config",
      join(folder, "prometheus.yml"),
    ]);
    assert.equal(status, 0, out + err);
    assert.match(out, /SUCCESS: \d+ rules found/);
  });

  it("has variables of OpenTelemetry that start", () => {
    const [, block = ""] = /```sh\n(SALLYPORT_OTLP=[\s\S]*?)```/.exec(page) ?? [];
    const env = Object.fromEntries(
      block
        .trim()
        .split("\n")
        .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
    );
    assert.deepEqual(loadConfig(env, schemes, files).otlp, { traces: true, metrics: true });
  });
});

describe("/metrics", () => {
  it("is what Prometheus takes", { skip: missing("promtool") }, async () => {
    const all = new Metrics();
    all.connections.add(1, 'a"b\\c\nd', "served", "ok");
    all.handshake.observe(0.2);
    all.certificateExpiry.set(5, "a");
    const { status, out, err } = await run(program("promtool"), ["check", "metrics"], {
      input: [all.text()],
    });
    assert.equal(status, 0, out + err);
  });
});
