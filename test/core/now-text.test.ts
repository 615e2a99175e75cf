import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { nowText } from "../../src/core/now-text.ts";

describe("the text of now", () => {
  const ownNow = Date.now;
  const at = (ms: number): string => {
    Date.now = () => ms;
    try {
      return nowText();
    } finally {
      Date.now = ownNow;
    }
  };

  it("is what dates say, at every turn of a second, and where the clock is put back", () => {
    const times = [
      ...[0, 1, 999, 1000, 1001, 59_999, 60_000, 951_782_399_999, 951_782_400_000, 1_735_689_599_999],
      ...[1_735_689_600_000, 1_735_689_600_009, 1_735_689_600_090, 1_735_689_599_999, 253_402_300_799_999],
      ...[999, -1, -1000, -1001],
    ];
    assert.deepEqual(
      times.map(at),
      times.map((ms) => new Date(ms).toISOString()),
    );
  });

  it("goes on with the clock", () => {
    const before = Date.now();
    const said = Date.parse(nowText());
    assert.ok(before <= said && said <= Date.now());
  });
});
