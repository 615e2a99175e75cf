import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Agent } from "../../src/tunnel/agent.ts";
import { ConnectedAgent } from "../../src/tunnel/connected-agent.ts";
import { receive } from "../../src/tunnel/exchange.ts";
import { TunnelSession } from "../../src/tunnel/session.ts";
import { type Answer, encodeAnswer, encodeOpen, parseAnswer, parseHello } from "../../src/tunnel/wire.ts";
import type { DialTarget, Runtime } from "../../src/types.ts";
import { Pairs, readAll } from "../support/pairs.ts";
import { sessionPair } from "../support/session-pair.ts";
import { echo, tcpUpstream } from "../support/upstreams.ts";

let pairs: Pairs;
before(async () => {
  pairs = await Pairs.open();
});
after(() => pairs?.close());

/** The runtime, which notes where it is asked to dial. */
function watched(runtime: Runtime, dialled: string[]): Runtime {
  return new Proxy(runtime, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        if (key === "dial") {
          const { host, port } = args[0] as DialTarget;
          dialled.push(`${host}:${port}`);
        }
        return Reflect.apply(value, target, args) as unknown;
      };
    },
  });
}

describe("an agent", () => {
  it("dials what it was told to publish, whatever the router asks for", async () => {
    const upstream = await tcpUpstream(echo);
    const dialled: string[] = [];
    const failed: string[] = [];
    const [near, far] = await pairs.pair();
    const agent = new Agent(
      watched(pairs.runtime, dialled),
      "edge-1",
      "0",
      new Map([["echo", { host: "127.0.0.1", port: upstream.port }]]),
      { dial: async () => near, isCurrent: async () => true },
      { connected: () => {}, lost: () => {}, moving: () => {}, failed: (why) => failed.push(why) },
    );
    const running = agent.run();
    const { name, services } = await receive(far, parseHello, 5000, "the agent");
    assert.deepEqual([name, services], ["edge-1", ["echo"]]);
    await far.write(encodeAnswer(null));
    const router = new TunnelSession(far, { dialled: false, maxStreams: 100, accept: null });
    const ask = async (service: string): Promise<readonly [Answer, ReturnType<TunnelSession["open"]>]> => {
      const stream = router.open();
      await stream.write(encodeOpen({ service, connection: "x" }));
      return [(await receive(stream, parseAnswer, 5000, "the agent")).refused, stream];
    };
    const others = [
      `127.0.0.1:${upstream.port}`,
      "127.0.0.1",
      String(upstream.port),
      "ECHO",
      "echo ",
      "echo\0",
      "/echo",
      "",
      "*",
      "__proto__",
      "constructor",
      `echo${"o".repeat(300)}`,
    ];
    for (const service of others) {
      const [answer] = await ask(service);
      assert.equal(answer?.reason, "unpublished", service);
    }
    assert.equal(failed.length, others.length);
    for (const line of failed)
      assert.match(line, /^the router asks for ".*", which is not published: refused$/);
    // What is no request at all ends its stream, and no more than that.
    const odd = router.open();
    await odd.write(Uint8Array.of(0, 2, 0x7b, 0x7d));
    await assert.rejects(odd.read(), /reset/);
    assert.deepEqual(dialled, []);
    const [answer, stream] = await ask("echo");
    assert.equal(answer, null);
    await stream.write(Uint8Array.of(1, 2, 3));
    await stream.closeWrite();
    assert.deepEqual([...(await readAll(stream))], [1, 2, 3]);
    assert.deepEqual(dialled, [`127.0.0.1:${upstream.port}`]);
    agent.stop();
    agent.stop();
    await running;
  });
});

describe("the router", () => {
  const target = { agent: "edge-1", service: "echo", connection: "x", withinMs: 5000, asking: null };
  for (const [what, answer, reason, words] of [
    ["publishes nothing of the kind", { reason: "unpublished", detail: "no" }, "upstream_refused", /no$/],
    ["can't dial it", { reason: "unreachable", detail: "no" }, "upstream_unreachable", /no$/],
    ["is full", { reason: "full", detail: "no" }, "limit_reached", /no$/],
    ["says no for a reason of its own", { reason: "ok", detail: "no" }, "upstream_refused", /no$/],
    ["answers with something else", Uint8Array.of(0, 1, 0x5b), "upstream_unreachable", /no JSON/],
    ["answers with too much", Uint8Array.of(255, 255), "upstream_unreachable", /of 65535 bytes/],
    ["ends the stream", new Uint8Array(0), "upstream_unreachable", /said nothing/],
    ["is silent", null, "upstream_unreachable", /did not answer within 50 ms/],
  ] as const)
    it(`knows why there is no stream to an agent that ${what}`, async () => {
      const pair = await sessionPair(pairs, {
        agent: {
          accept: (stream) => {
            void (async () => {
              await stream.read();
              if (answer === null) return;
              await stream.write(answer instanceof Uint8Array ? answer : encodeAnswer(answer));
              await stream.closeWrite();
            })().catch(() => {});
          },
        },
      });
      const [connection] = await pairs.pair();
      const hello = { name: "edge-1", services: ["echo"], version: "0" };
      const about = { address: "192.0.2.1:1", subject: "CN=edge-1" };
      const agent = new ConnectedAgent(hello, pair.router, connection, about);
      await assert.rejects(agent.open(target, answer === null ? 50 : 5000), { reason, message: words });
      assert.equal(pair.router.size, 0, "the stream is over");
      pair.close();
    });
});
