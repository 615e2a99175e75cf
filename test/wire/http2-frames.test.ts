import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { FrameFilter } from "../../src/wire/http2-frames.ts";
import { data, get, headers, preface } from "../support/http2-frames.ts";

const goaway = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
const frames = [headers(1, get(), false), goaway, data(1, "hello", false), goaway, data(1, "", true), goaway];
const all = Buffer.concat([preface, ...frames]);
const expected = Buffer.concat([preface, ...frames.filter((one) => one !== goaway)]);

const filtered = (chunks: readonly Uint8Array[]): Buffer => {
  const filter = new FrameFilter(new Set([7]));
  return Buffer.concat(chunks.flatMap((chunk) => filter.take(chunk)));
};

describe("frames of some types", () => {
  it("are left out, and nothing else is", () => {
    assert.deepEqual(filtered([all]), expected);
  });

  it("are left out wherever the stream is cut", () => {
    for (let at = 0; at <= all.length; at++)
      assert.deepEqual(filtered([all.subarray(0, at), all.subarray(at)]), expected, `cut at ${at}`);
    assert.deepEqual(filtered([...all].map((byte) => Uint8Array.of(byte))), expected);
  });

  it("change nothing where there are none, whatever the bytes and the cuts", () => {
    const parts = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 });
    fc.assert(
      fc.property(parts, (chunks) => {
        const filter = new FrameFilter(new Set());
        const out = Buffer.concat(chunks.flatMap((chunk) => filter.take(chunk)));
        // A head is kept back until all of it is here.
        const whole = Buffer.concat(chunks);
        assert.ok(whole.length - out.length < 9);
        assert.deepEqual(out, whole.subarray(0, out.length));
      }),
    );
  });
});
