import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Link, Ring } from "../../src/core/ring.ts";

describe("a ring", () => {
  it("has its links in the order in which they came, without those that left, from wherever", () => {
    const ring = new Ring<Link>();
    assert.deepEqual([ring.first, ring.values()], [undefined, []]);
    const [a, b, c, d] = [new Link(), new Link(), new Link(), new Link()];
    for (const link of [a, b, c, d]) ring.add(link);
    assert.equal(ring.first, a);
    b.unlink();
    d.unlink();
    assert.deepEqual(
      ring.values().map((link) => [a, b, c, d].indexOf(link)),
      [0, 2],
    );
    a.unlink();
    assert.equal(ring.first, c);
    ring.add(a);
    assert.deepEqual(
      ring.values().map((link) => [a, b, c, d].indexOf(link)),
      [2, 0],
    );
    for (const link of [a, c]) link.unlink();
    assert.deepEqual([ring.first, ring.values()], [undefined, []]);
  });

  it("does not mind who leaves twice, or was never in it, and lets its values change while one goes through them", () => {
    const ring = new Ring<Link>();
    const [a, b] = [new Link(), new Link()];
    a.unlink();
    for (const link of [a, b]) ring.add(link);
    assert.deepEqual([a.isLinked, b.isLinked], [true, true]);
    for (const link of ring.values()) {
      link.unlink();
      link.unlink();
    }
    assert.deepEqual([a.isLinked, b.isLinked, ring.first], [false, false, undefined]);
  });

  it("keeps nothing of what left it", () => {
    const ring = new Ring<Link>();
    const links = [new Link(), new Link(), new Link()];
    for (const link of links) ring.add(link);
    for (const link of links) link.unlink();
    for (const link of links) assert.deepEqual([link.before === link, link.after === link], [true, true]);
  });
});
