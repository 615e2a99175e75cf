import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { sourceKey } from "../../src/limits/source-key.ts";
import { TokenBuckets } from "../../src/limits/token-buckets.ts";

describe("a token bucket for each key", () => {
  it("gives a burst, then one at a time, and says when the next one is there", () => {
    const buckets = new TokenBuckets({ perSecond: 10, burst: 3 });
    assert.deepEqual(
      [1, 2, 3, 4, 5].map(() => buckets.take("a", 1000)),
      [0, 0, 0, 100, 100],
    );
    assert.equal(buckets.take("b", 1000), 0, "another key has a bucket of its own");
    assert.equal(buckets.take("a", 1060), 40);
    assert.equal(buckets.take("a", 1100), 0);
    assert.equal(buckets.take("a", 1100), 100);
  });

  it("fills by a clock that was set back, too", () => {
    const buckets = new TokenBuckets({ perSecond: 10, burst: 3 });
    const hour = 3_600_000;
    for (let i = 0; i < 3; i++) assert.equal(buckets.take("a", hour), 0);
    assert.equal(buckets.take("a", 0), 100);
    assert.equal(buckets.take("a", 50), 50);
    assert.equal(buckets.take("a", 100), 0);
    assert.equal(buckets.take("a", 100), 100);
  });

  it("lets through no more than its rate and burst, whatever comes when", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.integer({ min: 0, max: 300 }), { maxLength: 300 }),
        (perSecond, burst, gaps) => {
          const buckets = new TokenBuckets({ perSecond, burst });
          let now = 5000;
          let taken = 0;
          for (const gap of gaps) {
            now += gap;
            if (buckets.take("a", now) === 0) taken++;
          }
          assert.ok(taken <= burst + ((now - 5000) * perSecond) / 1000 + 0.001);
        },
      ),
    );
  });

  it("lets spend what is not there, and says until when it is paid for", () => {
    const buckets = new TokenBuckets({ perSecond: 1000, burst: 500 });
    assert.equal(buckets.spend("a", 500, 0), 0);
    assert.equal(buckets.spend("a", 250, 0), 250);
    assert.equal(buckets.spend("a", 1000, 250), 1000);
    assert.equal(buckets.spend("a", 1, 1_000_000), 0);
  });

  it("remembers so many keys and no more, and forgets the full ones first", () => {
    const buckets = new TokenBuckets({ perSecond: 1, burst: 4 }, 100);
    for (let i = 0; i < 4; i++) buckets.take("drained", 0);
    assert.ok(buckets.take("drained", 0) > 0);
    // A crowd of made-up keys, each used once: none of them is worth as much to be remembered.
    for (let i = 0; i < 10_000; i++) {
      assert.equal(buckets.take(`made up ${i}`, i / 10_000), 0);
      assert.ok(buckets.size <= 100);
    }
    assert.ok(buckets.take("drained", 0.999) > 0, "nobody gets an empty bucket forgotten");
    assert.equal(buckets.take("drained", 1000), 0, "but time fills it");
  });
});

describe("a source", () => {
  it("is an IPv4 address, or an IPv6 network", () => {
    assert.equal(sourceKey("2001:db8:1:2::1"), sourceKey("2001:db8:1:2:ffff::9"));
    assert.notEqual(sourceKey("2001:db8:1:2::1"), sourceKey("2001:db8:1:3::1"));
    assert.notEqual(sourceKey("192.0.2.1"), sourceKey("192.0.2.2"));
  });
});
