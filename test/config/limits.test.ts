import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { load, problems, type Variables } from "../support/environment.ts";

describe("limits", () => {
  it("are as docs/limits.md shows them", () => {
    const blocks = [...readFileSync("docs/limits.md", "utf8").matchAll(/```sh\n([\s\S]*?)```/g)];
    const lines = blocks.flatMap(([, block = ""]) => block.trim().split("\n"));
    const shown: Variables = Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2)));
    const { limits } = load(shown);
    assert.deepEqual(limits.connectionsPerSource, { perSecond: 100, burst: 500 });
    assert.deepEqual(limits.connectionsPerIdentity, { perSecond: 10, burst: 600 });
    assert.deepEqual(
      [limits.bandwidthPerSource, limits.bandwidthPerIdentity],
      [50 * 1024 ** 2, 200 * 1024 ** 2],
    );
    assert.equal(limits.memory, 2 * 1024 ** 3);
  });

  it("on rates are off unless set", () => {
    const { limits } = load({});
    assert.deepEqual([limits.connectionsPerSource, limits.connectionsPerIdentity], [null, null]);
    assert.deepEqual([limits.bandwidthPerSource, limits.bandwidthPerIdentity], [null, null]);
  });

  it("on bandwidths are bytes a second with a unit, 64 KiB at least", () => {
    const told = (text: string): string =>
      problems({ SALLYPORT_BANDWIDTH_PER_IDENTITY: text })
        .map(({ message }) => message)
        .join();
    for (const text of ["50", "50MiB", "1.5MiB/s", "50MiB/m", "50mib/s", "B/s"])
      assert.match(told(text), /is no bandwidth: expected such as 50MiB\/s/, text);
    assert.match(told("63KiB/s"), /expected 64KiB\/s at least/);
    for (const text of ["64KiB/s", "66KB/s", "1GB/s", "off"]) assert.equal(told(text), "", text);
  });

  it("on memory are bytes with a unit, 64 MiB at least, and as there is unless set", () => {
    assert.equal(load({}).limits.memory, "auto");
    assert.equal(load({ SALLYPORT_MAX_MEMORY: "off" }).limits.memory, null);
    assert.equal(load({ SALLYPORT_MAX_MEMORY: "64MiB" }).limits.memory, 64 * 1024 ** 2);
    const told = (text: string): string =>
      problems({ SALLYPORT_MAX_MEMORY: text })
        .map(({ message }) => message)
        .join();
    for (const text of ["1024", "512MiB/s", "1.5GiB", "2gib", "80%", "on"])
      assert.match(told(text), /is no amount of memory: expected such as 512MiB/, text);
    assert.match(told("63MiB"), /expected 64MiB at least/);
  });

  it("on rates are numbers a second, minute or hour, and nothing else", () => {
    for (const text of ["100", "0/s", "1/s,burst=0", "1/d", "-1/s", "1.5/s", "1/s,burst", "1/s,1", "on"]) {
      const [found, ...more] = problems({ SALLYPORT_CONNECTION_RATE_PER_SOURCE: text });
      assert.equal(found?.name, "SALLYPORT_CONNECTION_RATE_PER_SOURCE", text);
      assert.match(found?.message ?? "", /is no rate: expected such as 100\/s/);
      assert.deepEqual(more, []);
    }
  });
});
