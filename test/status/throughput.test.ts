import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Throughput } from "../../src/status/throughput.ts";

describe("throughput", () => {
  it("is bytes a second between two samples", () => {
    const throughput = new Throughput(10);
    throughput.take({ bytesIn: 1000, bytesOut: 5000 }, 0);
    assert.deepEqual(throughput.samples, []);
    throughput.take({ bytesIn: 2000, bytesOut: 5000 }, 5000);
    throughput.take({ bytesIn: 2000, bytesOut: 6000 }, 7000);
    assert.deepEqual(throughput.samples, [
      { in: 200, out: 0 },
      { in: 0, out: 500 },
    ]);
  });

  it("is never less than nothing, and keeps as many samples as there is room for", () => {
    const throughput = new Throughput(3);
    for (let i = 0; i < 100; i++) throughput.take({ bytesIn: 100 - i, bytesOut: i * 10 }, i * 1000);
    assert.deepEqual(throughput.samples, Array(3).fill({ in: 0, out: 10 }));
  });
});
