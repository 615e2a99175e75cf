import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { z } from "zod";
import { Metrics } from "../../src/observe/metrics.ts";
import { Channel } from "../../src/workers/channel.ts";
import { encodeMessage, maxMessage, parseMessage } from "../../src/workers/wire.ts";
import { Pairs } from "../support/pairs.ts";

let pairs: Pairs;
before(async () => {
  pairs = await Pairs.open();
});
after(() => pairs?.close());

const schema = z.object({ say: z.string() });

describe("messages between processes", () => {
  it("are read wherever they are cut", () => {
    const bytes = encodeMessage({ say: "grüß" });
    for (let i = 0; i < bytes.length; i++) assert.equal(parseMessage(bytes.subarray(0, i)).kind, "more");
    const whole = parseMessage(bytes);
    assert.deepEqual(whole, { kind: "ok", value: { say: "grüß" }, used: bytes.length });
  });

  it("that are too long, or no JSON, are none", () => {
    const long = new Uint8Array(4);
    new DataView(long.buffer).setUint32(0, maxMessage + 1);
    assert.equal(parseMessage(long).kind, "no");
    assert.equal(parseMessage(Uint8Array.of(0, 0, 0, 1, 0x7b)).kind, "no");
  });

  it("go both ways, in their order, however they are put together", async () => {
    const [left, right] = await pairs.pair();
    const heard: string[] = [];
    let all = (): void => {};
    const done = new Promise<void>((resolve) => {
      all = resolve;
    });
    const echo = new Channel(right, schema, (message) => echo.send(message));
    const channel = new Channel<z.output<typeof schema>, z.output<typeof schema>>(left, schema, ({ say }) => {
      heard.push(say);
      if (heard.length === 500) all();
    });
    for (let i = 0; i < 500; i++) channel.send({ say: `${i} ${"x".repeat(i * 7)}` });
    await done;
    assert.deepEqual(
      heard.map((say) => Number(say.split(" ")[0])),
      heard.map((_, i) => i),
    );
    channel.close();
    await echo.closed;
  });

  it("that say something else end the connection", async () => {
    const [left, right] = await pairs.pair();
    const channel = new Channel(right, schema, () => assert.fail("nothing was said"));
    await left.write(encodeMessage({ sing: "la" }));
    await channel.closed;
  });
});

describe("what several processes counted", () => {
  it("adds up: counters, gauges and histograms; of one that is gone what it has open does not", () => {
    const [a, b, all] = [new Metrics(), new Metrics(), new Metrics()];
    for (const [i, one] of [a, b].entries()) {
      one.connections.add(i + 1, "web", "served", "ok");
      one.active.set(3, "web");
      one.certificateExpiry.set(100 - i, "SALLYPORT_CERT");
      one.build.set(1, "1.0.0", "node");
      one.handshake.observe(0.002);
    }
    all.absorb(a.snapshot());
    all.absorb(b.snapshot());
    all.absorb(b.snapshot(), "counters");
    for (const line of [
      /^sallyport_connections_total\{route="web",outcome="served",reason="ok"\} 5$/m,
      /^sallyport_connections_active\{route="web"\} 6$/m,
      /^sallyport_certificate_expiry_seconds\{name="SALLYPORT_CERT"\} 99$/m,
      /^sallyport_build_info\{version="1.0.0",runtime="node"\} 1$/m,
      /^sallyport_handshake_seconds_bucket\{le="0.001"\} 0$/m,
      /^sallyport_handshake_seconds_bucket\{le="0.0025"\} 3$/m,
      /^sallyport_handshake_seconds_count 3$/m,
    ])
      assert.match(all.text(), line);
  });
});
