import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ErrorWatch, FrameFilter } from "../../src/wire/http2-frames.ts";
import { data, frame, get, headers, preface } from "../support/http2-frames.ts";

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

describe("a server's GOAWAY", () => {
  const watched = (chunks: readonly Uint8Array[]): boolean => {
    const watch = new ErrorWatch();
    return chunks.map((chunk) => watch.take(chunk)).some(Boolean);
  };
  const settings = frame(4, 0, 0, Buffer.alloc(6, 7));
  const body = data(1, goaway.toString("latin1").repeat(3), true);
  const gone = (code: number, more = 0): Buffer =>
    frame(7, 0, 0, Buffer.concat([Buffer.from([0, 0, 0, 9, 0, 0, 0, code]), Buffer.alloc(more, 1)]));

  it("that is about an error is found wherever what is sent is cut", () => {
    for (const more of [0, 5]) {
      const sent = Buffer.concat([
        settings,
        body,
        gone(0, more),
        frame(0, 1, 3, Buffer.alloc(0)),
        gone(1, more),
      ]);
      for (let at = 0; at <= sent.length; at++)
        assert.ok(watched([sent.subarray(0, at), sent.subarray(at)]), `cut at ${at}`);
      assert.ok(watched([...sent].map((byte) => Uint8Array.of(byte))));
    }
  });

  it("that says no error is none, nor is what only looks so in a body", () => {
    const code1 = data(1, gone(1).toString("latin1").repeat(3), true);
    const sent = Buffer.concat([
      settings,
      code1,
      gone(0),
      gone(0, 5),
      frame(7, 0, 0, Buffer.alloc(4, 1)),
      body,
    ]);
    for (let at = 0; at <= sent.length; at++)
      assert.ok(!watched([sent.subarray(0, at), sent.subarray(at)]), `cut at ${at}`);
  });

  it("is looked for in any bytes", () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 40 })), (chunks) => void watched(chunks)));
  });
});
