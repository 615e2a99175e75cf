import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LruMap } from "../../src/core/lru-map.ts";

describe("a map that forgets what was used least recently", () => {
  it("is one that is put in order at every use", () => {
    const capacity = 4;
    const map = new LruMap<number, number>(capacity);
    /** The newest at the end. */
    let kept: [number, number][] = [];
    // Every key is used, set and deleted in many orders, the newest one again and again.
    for (let i = 0; i < 5000; i++) {
      const key = (i * i + (i >> 3)) % 7;
      const known = kept.find(([one]) => one === key);
      const others = kept.filter(([one]) => one !== key);
      if (i % 11 === 0) {
        map.delete(key);
        kept = others;
      } else if (i % 3 === 0) {
        map.set(key, i);
        kept = [...others, [key, i] as [number, number]].slice(-capacity);
      } else {
        assert.equal(map.get(key), known?.[1]);
        if (known !== undefined) kept = [...others, known];
      }
      assert.deepEqual(
        [...map.values()],
        kept.map(([, value]) => value),
      );
    }
  });
});
