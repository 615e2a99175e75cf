import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { gatheredReads } from "../../src/runtime/gathered-reads.ts";

const record = 16 * 1024;

interface Source {
  receive(count: number, fill: (place: Uint8Array) => void): void;
  flush(): void;
}

/** What a TLS socket does with its reads: asks for a place, fills it, says how much, and asks for the next one. */
function socket(take: (chunk: Uint8Array) => boolean): Source {
  const reads = gatheredReads(take);
  const next = (): Uint8Array => (reads.buffer as () => Uint8Array)();
  let place = next();
  return {
    receive(count: number, fill: (place: Uint8Array) => void): void {
      assert.ok(place.length >= record, "room for any record");
      fill(place.subarray(0, count));
      reads.callback(count, place);
      place = next();
    },
    flush: reads.flush,
  };
}

/** One that hands over chunks of its own. */
function stream(take: (chunk: Uint8Array) => boolean): Source {
  const reads = gatheredReads(take);
  return {
    receive(count, fill) {
      const chunk = new Uint8Array(count);
      fill(chunk);
      reads.copy(chunk);
    },
    flush: reads.flush,
  };
}

for (const [source, open] of Object.entries({ socket, stream }))
  test(`${source}: nothing is lost, doubled, reordered or overwritten, whoever keeps the chunks and however long`, () => {
    const step = fc.record({
      // Full records make a transfer, others end one.
      size: fc.oneof(fc.constant(record), fc.constant(record), fc.integer({ min: 1, max: record })),
      took: fc.boolean(),
      turn: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        let took = true;
        let heard = 0;
        const kept: { readonly from: number; readonly chunk: Uint8Array }[] = [];
        const holds = ({ from, chunk }: { from: number; chunk: Uint8Array }): boolean =>
          chunk.every((byte, i) => byte === ((from + i) * 7) % 251);
        const one = open((chunk) => {
          const piece = { from: heard, chunk };
          assert.ok(holds(piece), "the next bytes");
          if (!took) kept.push(piece);
          heard += chunk.length;
          return took;
        });
        let sent = 0;
        for (const { size, turn, ...how } of steps) {
          took = how.took;
          one.receive(size, (place) => {
            for (let i = 0; i < place.length; i++) place[i] = ((sent + i) * 7) % 251;
          });
          sent += size;
          if (turn) one.flush();
        }
        one.flush();
        assert.equal(heard, sent);
        assert.ok(kept.every(holds), "what was kept is as it was");
      }),
      { numRuns: 60 },
    );
  });

for (const [source, open] of Object.entries({ socket, stream }))
  test(`${source}: full records of one turn are one chunk; one that is not full waits for nothing`, async () => {
    const sizes: number[] = [];
    const one = open((chunk) => {
      sizes.push(chunk.length);
      return true;
    });
    for (let i = 0; i < 5; i++) one.receive(record, () => {});
    assert.deepEqual(sizes, [record], "the first one goes at once");
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(sizes, [record, 4 * record]);
    one.receive(record, () => {});
    one.receive(10, () => {});
    assert.deepEqual(sizes, [record, 4 * record, record + 10]);
  });

for (const [source, open] of Object.entries({ socket, stream }))
  test(`${source}: a large write's last bytes are of the same chunk, and a full record after 256 KiB begins the next`, async () => {
    for (const took of [true, false]) {
      const sizes: number[] = [];
      const one = open((chunk) => {
        sizes.push(chunk.length);
        return took;
      });
      one.receive(record, () => {});
      for (let i = 0; i < 16; i++) one.receive(record, () => {});
      one.receive(12, () => {});
      one.receive(record, () => {});
      for (let i = 0; i < 18; i++) one.receive(record, () => {});
      await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(sizes, [record, 16 * record + 12, record, 16 * record, 2 * record]);
    }
  });
