import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { createClient } from "@redis/client";
import { z } from "zod";
import { silentLog } from "../../src/observe/log.ts";
import { RedisState } from "../../src/state/redis-state.ts";
import { StateAway } from "../../src/state/state.ts";
import { Whereabouts } from "../../src/state/whereabouts.ts";
import { missing } from "../support/programs.ts";
import { createSite, type Site } from "../support/router.ts";
import { StateServer, settled } from "../support/state.ts";

const secret = new Uint8Array(32).fill(7);
/** Three at once, and one more in twenty seconds. */
const slow = { perSecond: 0.05, burst: 3 };
const words = z.string().max(100);

describe("state that several routers share", { skip: missing("redis-server") }, () => {
  let site: Site;
  let server: StateServer;
  const opened: RedisState[] = [];

  /** A router that shares it, its maps said before it connects. */
  async function router(of: StateServer = server, key = secret): Promise<RedisState> {
    const state = await RedisState.open({ ...of.settings, secret: key }, silentLog);
    opened.push(state);
    return state;
  }

  before(async () => {
    site = await createSite(["localhost"]);
    server = await StateServer.start(site);
  });
  after(async () => {
    await Promise.all(opened.map((state) => state.close()));
    server?.stop();
    site?.remove();
  });

  it("what one sets every other has, and what is deleted is gone", async () => {
    const [a, b] = [await router(), await router()];
    const [x, y] = [a.map("words", words), b.map("words", words)];
    await Promise.all([a.start(10_000), b.start(10_000)]);
    assert.deepEqual([a.wasRead, a.away, b.away], [true, null, null]);
    await x.set("one", "1", null);
    await settled(() => y.get("one") === "1");
    await y.set("one", "2", null);
    await settled(() => x.get("one") === "2");
    await x.delete("one");
    await settled(() => y.get("one") === undefined);
    assert.deepEqual([...y.entries()], []);
    await y.set("lasting", "3", null);
    const c = await router();
    const z = c.map("words", words);
    await c.start(10_000);
    assert.deepEqual([...z.entries()], [["lasting", "3"]]);
  });

  it("one that asks has what another has set a moment ago, and hears of it once", async () => {
    const [a, b] = [await router(), await router()];
    const [x, y] = [a.map("asked", words), b.map("asked", words)];
    await Promise.all([a.start(10_000), b.start(10_000)]);
    const heard: string[] = [];
    y.onChange((name) => heard.push(name));
    const names = Array.from({ length: 20 }, (_, i) => `name-${i}`);
    for (const name of names) {
      await x.set(name, "here", null);
      assert.equal(await y.ask(name), "here");
    }
    assert.equal(await y.ask("nothing"), undefined);
    await b.close();
    assert.deepEqual(heard, names);
    await assert.rejects(y.ask("name-1"), StateAway);
  });

  it("a message reaches whoever listens, once, and nobody with another secret", async () => {
    const [a, b, c] = [await router(), await router(), await router(server, new Uint8Array(32).fill(8))];
    const heard: string[] = [];
    const { tell } = a.topic("talk", words, () => {});
    b.topic("talk", words, (word) => heard.push(word));
    c.topic("talk", words, () => heard.push("by somebody else"));
    await Promise.all([a.start(10_000), b.start(10_000), c.start(10_000)]);
    tell("hello");
    await settled(() => heard.length > 0);
    assert.deepEqual(heard, ["hello"]);
  });

  it("what is taken once is nobody else's, however many ask at once", async () => {
    const [a, b] = [await router(), await router()];
    await Promise.all([a.start(10_000), b.start(10_000)]);
    const asked = await Promise.all([a, b, a, b].map((one) => one.takeOnce("token", 60_000)));
    assert.equal(asked.filter(Boolean).length, 1);
  });

  it("requests are counted together, and places under a cap are leased", async () => {
    const [a, b] = [await router(), await router()];
    await Promise.all([a.start(10_000), b.start(10_000)]);
    const answers = [];
    for (const one of [a, b, a, b]) answers.push(await one.rate("alice", slow));
    assert.deepEqual(answers.slice(0, 3), [null, null, null]);
    assert.ok(Number(answers[3]) >= 1);
    assert.equal(await a.lease("alice", () => 0, 3, 5), 3);
    assert.equal(await b.lease("alice", () => 0, 3, 5), 2);
    assert.equal(await b.lease("alice", () => 2, 1, 5), 0);
    await a.hold(["alice"], () => 1);
    assert.equal(await b.lease("alice", () => 2, 3, 5), 2);
    await a.hold(["alice"], () => 0);
    await b.hold(["alice"], () => 0);
    assert.equal(await a.lease("alice", () => 0, 9, 5), 5);
  });

  it("tells which router has which agent, and that it has none any more", async () => {
    const [a, b] = [await router(), await router()];
    const here = new Whereabouts(a, "10.0.0.1:8443");
    const there = new Whereabouts(b, "10.0.0.2:8443");
    await Promise.all([a.start(10_000), b.start(10_000)]);
    for (const one of [here, there]) one.start();
    here.announce(["edge-1", "edge-2"]);
    await settled(() => there.routersWith("edge-1").length > 0);
    assert.deepEqual(there.routersWith("edge-2"), [
      { id: a.id, address: "10.0.0.1:8443", agents: ["edge-1", "edge-2"] },
    ]);
    assert.deepEqual(here.routersWith("edge-1"), []);
    here.announce(["edge-2"]);
    await settled(() => there.routersWith("edge-1").length === 0);
    await here.close();
    await settled(() => there.routers().length === 0);
    await there.close();
  });

  it("whoever has Redis reads nothing, makes nothing up, and takes nothing back", async () => {
    const [a, b] = [await router(), await router()];
    const [x, y] = [a.map("denied", words), b.map("denied", words)];
    await Promise.all([a.start(10_000), b.start(10_000)]);
    await x.set("mallory", "no", null);
    await settled(() => y.get("mallory") === "no");
    const client = createClient({
      socket: { host: "127.0.0.1", port: server.port, reconnectStrategy: false },
    });
    await client.connect();
    const keys = await client.keys("*");
    const map = keys.find((key) => key.endsWith(":map:denied")) ?? "";
    const kept = await client.hGetAll(map);
    assert.ok(!JSON.stringify([keys, kept]).includes("mallory"));
    const [[field = "", value = ""] = []] = Object.entries(kept);
    const at = Number(value.split(".")[0]);
    // Later by what is in the clear, of another name, broken, and the value of another map.
    const forged = [
      [field, `${at + 1}${value.slice(String(at).length)}`],
      ["other", value],
      [field, `${at + 5}.AAAA`],
      [field, "nonsense"],
    ];
    for (const one of forged) await client.publish(map, JSON.stringify(one));
    await client.publish(map, "{");
    const other = map.replace("denied", "words");
    b.map("words", words);
    await client.hSet(other, field, value);
    await client.del(map);
    await x.set("last", "word", null);
    await settled(() => y.get("last") === "word");
    assert.deepEqual([...y.entries()].sort(), [
      ["last", "word"],
      ["mallory", "no"],
    ]);
    client.destroy();
  });

  it("while it is away each goes on, and both sides catch up when it is back empty", async () => {
    const own = await StateServer.start(site);
    const [a, b] = [await router(own), await router(own)];
    const [x, y] = [a.map("words", words), b.map("words", words)];
    const heard: (string | undefined)[] = [];
    y.onChange((name) => heard.push(name));
    await Promise.all([a.start(10_000), b.start(10_000)]);
    await x.set("before", "1", null);
    await settled(() => y.get("before") === "1");
    own.kill();
    await settled(() => a.away !== null && b.away !== null);
    await assert.rejects(a.takeOnce("token", 1000), StateAway);
    await assert.rejects(a.rate("alice", slow), StateAway);
    await assert.rejects(
      a.lease("alice", () => 0, 1, 3),
      StateAway,
    );
    await x.set("meanwhile", "2", null);
    await y.set("elsewhere", "3", null);
    assert.equal(y.get("before"), "1");
    await own.revive();
    await settled(() => y.get("meanwhile") === "2" && x.get("elsewhere") === "3");
    const c = await router(own);
    const z = c.map("words", words);
    await c.start(10_000);
    assert.deepEqual([...z.entries()].map(([name]) => name).sort(), ["before", "elsewhere", "meanwhile"]);
    own.stop();
  });

  it("one that says nothing is away, too, and no question waits for it for long", async () => {
    const own = await StateServer.start(site);
    const a = await router(own);
    await a.start(10_000);
    own.pause();
    await assert.rejects(a.takeOnce("token", 1000), StateAway);
    await settled(() => a.away !== null);
    own.resume();
    await settled(() => a.away === null);
    own.stop();
  });

  it("with TLS, a name and a password; an authority that is not ours is refused", async () => {
    const own = await StateServer.start(site, { tls: true, password: "s3cret:pass word" });
    const a = await router(own);
    await a.start(10_000);
    assert.equal(a.away, null);
    for (const [settings, why] of [
      [
        { ...own.settings, tls: { anchors: [own.otherAuthority] } },
        /SELF_SIGNED|UNABLE|UnknownIssuer|certificate/i,
      ],
      [{ ...own.settings, password: "wrong" }, /WRONGPASS/],
      [{ ...own.settings, tls: null }, /./],
    ] as const) {
      const log: string[] = [];
      const say = (_: string, facts: unknown): void => void log.push(JSON.stringify(facts));
      const state = await RedisState.open({ ...settings, secret }, {
        debug: say,
        info: say,
        warn: say,
        error: say,
      } as typeof silentLog);
      await state.start(600);
      for (let i = 0; i < 400 && !why.test(log.join()); i++)
        await new Promise((resolve) => setTimeout(resolve, 25));
      await state.close();
      assert.ok(!state.wasRead);
      assert.match(log.join(), why);
      assert.ok(!/s3cret|wrong/.test(log.join()), log.join());
    }
    own.stop();
  });
});
