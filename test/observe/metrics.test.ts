import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLog } from "../../src/observe/log.ts";
import { Metrics } from "../../src/observe/metrics.ts";

describe("metrics", () => {
  it("are Prometheus text, with labels escaped", () => {
    const metrics = new Metrics();
    metrics.connections.add(1, 'a"\\\n', "served", "ok");
    metrics.connections.add(2, 'a"\\\n', "served", "ok");
    const text = metrics.text();
    assert.ok(text.includes("# TYPE sallyport_connections_total counter\n"));
    assert.ok(
      text.includes('sallyport_connections_total{route="a\\"\\\\\\n",outcome="served",reason="ok"} 3\n'),
      text,
    );
  });

  it("count durations into cumulative buckets", () => {
    const metrics = new Metrics();
    for (const seconds of [0.0001, 0.003, 0.003, 99]) metrics.handshake.observe(seconds);
    const text = metrics.text();
    assert.ok(text.includes('sallyport_handshake_seconds_bucket{le="0.0005"} 1\n'));
    assert.ok(text.includes('sallyport_handshake_seconds_bucket{le="0.005"} 3\n'));
    assert.ok(text.includes('sallyport_handshake_seconds_bucket{le="10"} 3\n'));
    assert.ok(text.includes('sallyport_handshake_seconds_bucket{le="+Inf"} 4\n'));
    assert.ok(text.includes("sallyport_handshake_seconds_count 4\n"));
  });
});

describe("the operator's log", () => {
  it("leaves out what is below its level, and is one JSON line each", () => {
    const lines: string[] = [];
    const log = createLog({ write: (line) => void lines.push(line), close: async () => {} }, "json", "warn");
    log.info("not this");
    log.warn("this", { n: 1 });
    assert.equal(lines.length, 1);
    const { level, message, n } = JSON.parse(lines[0] ?? "");
    assert.deepEqual([level, message, n], ["warn", "this", 1]);
  });
});
