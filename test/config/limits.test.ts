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
  });

  it("on rates are off unless set", () => {
    const { limits } = load({});
    assert.deepEqual([limits.connectionsPerSource, limits.connectionsPerIdentity], [null, null]);
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
