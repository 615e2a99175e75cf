import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Rate } from "../../src/enrolment/rate.ts";
import { EnrolmentRefusal } from "../../src/enrolment/refusal.ts";

describe("the rate of requests", () => {
  it("is so many a minute for each, and says when there is room again", () => {
    const rate = new Rate(3, "from this source");
    const takes = (key: string, now: number): boolean => {
      try {
        rate.take(key, now);
        return true;
      } catch (error) {
        assert.ok(
          error instanceof EnrolmentRefusal && error.reason === "limit_reached" && error.status === 429,
        );
        assert.equal(error.retryAfter, 20);
        return false;
      }
    };
    assert.deepEqual(
      [1, 2, 3, 4, 5].map(() => takes("a", 0)),
      [true, true, true, false, false],
    );
    assert.ok(takes("b", 0), "another has a rate of its own");
    assert.deepEqual([takes("a", 20_000), takes("a", 20_000)], [true, false]);
    assert.deepEqual(
      [1, 2, 3, 4].map(() => takes("a", 9_000_000)),
      [true, true, true, false],
    );
    assert.ok(!takes("a", 0), "a clock that goes back gives nothing");
  });
});
