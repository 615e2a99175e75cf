import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { silentLog } from "../../src/observe/log.ts";
import { type Parts, Watchers, type WatcherTimes } from "../../src/status/watchers.ts";

const times: WatcherTimes = { every: 5, alive: 60_000, longest: 60_000, stuck: 60_000 };
const never = Date.now() + 3_600_000;

interface Page {
  parts: Parts;
  shown: number;
}

function watched(more: Partial<WatcherTimes> = {}, caps = { watchers: 3, perIdentity: 2 }) {
  const page: Page = { parts: new Map([["a", "<p>1</p>"]]), shown: 0 };
  const show = async (): Promise<Parts> => {
    page.shown++;
    return page.parts;
  };
  return { page, watchers: new Watchers(caps, show, silentLog, { ...times, ...more }) };
}

const reader = (stream: ReadableStream<Uint8Array> | null) => {
  assert.ok(stream !== null);
  const from = stream.getReader();
  return {
    /** The next words; `null` at the end. */
    next: async (): Promise<string | null> => {
      const { done, value } = await from.read();
      return done ? null : new TextDecoder().decode(value);
    },
    leave: () => from.cancel(),
  };
};

const event = (id: string, html: string): string => `event: part\ndata: ${JSON.stringify({ id, html })}\n\n`;

describe("those who watch", () => {
  it("are told what has changed, and nothing else", async () => {
    const { page, watchers } = watched();
    const one = reader(watchers.open("alice", never));
    assert.equal(await one.next(), event("a", "<p>1</p>"));
    page.parts = new Map([
      ["a", "<p>1</p>"],
      ["b", "two\nlines"],
    ]);
    assert.equal(await one.next(), event("b", "two\nlines"));
    page.parts = new Map([
      ["a", "<p>2</p>"],
      ["b", "two\nlines"],
    ]);
    assert.equal(await one.next(), event("a", "<p>2</p>"));
    await one.leave();
  });

  it("are as many as may, of one identity and in all; whoever leaves makes room", async () => {
    const { watchers } = watched();
    const first = reader(watchers.open("alice", never));
    const second = reader(watchers.open("alice", never));
    assert.equal(watchers.open("alice", never), null);
    const third = reader(watchers.open("bob", never));
    assert.equal(watchers.open("carol", never), null);
    await first.leave();
    assert.equal(watchers.count, 2);
    const fourth = reader(watchers.open("carol", never));
    for (const one of [second, third, fourth]) await one.leave();
    assert.equal(watchers.count, 0);
  });

  it("cost nothing once there are none", async () => {
    const { page, watchers } = watched();
    const one = reader(watchers.open("alice", never));
    await one.next();
    await one.leave();
    const { shown } = page;
    await new Promise((resolve) => setTimeout(resolve, 20 * times.every));
    assert.ok(page.shown <= shown + 1, `${page.shown - shown} more`);
  });

  it("are done when their certificate runs out, and after a while in any case", async () => {
    for (const { watchers, until } of [
      { ...watched(), until: Date.now() + 50 },
      { ...watched({ longest: 50 }), until: never },
    ]) {
      const one = reader(watchers.open("alice", until));
      while ((await one.next()) !== null);
      assert.equal(watchers.count, 0);
    }
  });

  it("hear a sign of life where nothing changes", async () => {
    const { watchers } = watched({ alive: 10 });
    const one = reader(watchers.open("alice", never));
    await one.next();
    assert.match((await one.next()) ?? "", /^: /);
    await one.leave();
  });

  it("who take nothing have one part waiting for them at most, and are gone in the end", async () => {
    const { page, watchers } = watched({ stuck: 100 });
    const stream = watchers.open("alice", never);
    for (let i = 0; watchers.count > 0; i++) {
      page.parts = new Map([["a", String(i)]]);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const one = reader(stream);
    assert.match((await one.next()) ?? "", /^event: part\n/);
    assert.equal(await one.next(), null);
  });

  it("who fall behind are told all at once", async () => {
    const { page, watchers } = watched();
    const slow = reader(watchers.open("alice", never));
    const quick = reader(watchers.open("bob", never));
    await quick.next();
    page.parts = new Map([["a", "2"]]);
    await quick.next();
    page.parts = new Map([
      ["a", "3"],
      ["b", "1"],
    ]);
    await quick.next();
    await slow.next();
    assert.equal(await slow.next(), event("a", "3") + event("b", "1"));
    await slow.leave();
    await quick.leave();
  });

  it("end where the page can't be shown", async () => {
    const watchers = new Watchers(
      { watchers: 1, perIdentity: 1 },
      () => Promise.reject(new Error("no agents")),
      silentLog,
      times,
    );
    assert.equal(await reader(watchers.open("alice", never)).next(), null);
    assert.equal(watchers.count, 0);
  });

  it("end with the router, and nobody else begins", async () => {
    const { watchers } = watched();
    const one = reader(watchers.open("alice", never));
    await one.next();
    watchers.close();
    assert.equal(await one.next(), null);
    assert.equal(watchers.open("alice", never), null);
  });
});
