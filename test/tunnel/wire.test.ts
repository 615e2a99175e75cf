import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  encodeAnswer,
  encodeHello,
  encodeOpen,
  parseAnswer,
  parseHello,
  parseOpen,
} from "../../src/tunnel/wire.ts";
import { maxMessage } from "../../src/wire/short-message.ts";
import { frameTypes, headerBytes, parseFrameHeader, putFrameHeader } from "../../src/wire/yamux.ts";
import { share } from "../support/fuzz.ts";

const hello = { name: "edge-1", services: ["ssh", "web"], version: "0.1.0" };

const said = (text: string): Uint8Array => {
  const body = new TextEncoder().encode(text);
  return Uint8Array.from([body.length >> 8, body.length & 255, ...body]);
};

describe("frames", () => {
  it("are read as they were written, cut anywhere", () => {
    const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
    fc.assert(
      fc.property(
        fc.constantFrom(frameTypes.data, frameTypes.windowUpdate),
        fc.integer({ min: 0, max: 15 }),
        fc.integer({ min: 1, max: 0xffff_ffff }),
        u32,
        (type, flags, stream, length) => {
          const bytes = new Uint8Array(headerBytes);
          putFrameHeader(bytes, 0, type, flags, stream, length);
          assert.deepEqual(parseFrameHeader(bytes), {
            kind: "ok",
            used: headerBytes,
            value: { type, flags, stream, length },
          });
          for (let cut = 0; cut < headerBytes; cut++)
            assert.equal(parseFrameHeader(bytes.subarray(0, cut)).kind, "more");
        },
      ),
    );
  });

  it("are nothing else", () => {
    for (const bytes of [
      [1],
      [0, 4],
      [0, 0, 0, 16],
      [0, 0, 1, 0],
      [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
      [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
      [0, 2, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1],
      [0, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
    ])
      assert.equal(parseFrameHeader(Uint8Array.from(bytes)).kind, "no", String(bytes));
  });

  it("never throw, whatever comes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), (bytes) => void parseFrameHeader(bytes)),
      {
        numRuns: share(5000),
      },
    );
  });
});

describe("messages", () => {
  it("are read as they were written, cut anywhere", () => {
    const bytes = encodeHello(hello);
    assert.deepEqual(parseHello(bytes), { kind: "ok", value: hello, used: bytes.length });
    for (let cut = 0; cut < bytes.length; cut++)
      assert.equal(parseHello(bytes.subarray(0, cut)).kind, "more");
    const open = { service: "ssh", connection: "id" };
    assert.deepEqual(parseOpen(encodeOpen(open)).kind === "ok" && open, open);
    for (const answer of [null, { reason: "limit_reached", detail: "full" }]) {
      const parsed = parseAnswer(encodeAnswer(answer));
      assert.deepEqual(parsed.kind === "ok" ? parsed.value : parsed, { refused: answer });
    }
  });

  for (const [what, text] of Object.entries({
    "no JSON": "{",
    "no object": "7",
    null: "null",
    "a list": "[]",
    "a name with a dot": JSON.stringify({ ...hello, name: "edge.1" }),
    "a name in capitals": JSON.stringify({ ...hello, name: "EDGE" }),
    "no name": JSON.stringify({ ...hello, name: undefined }),
    "a name too long": JSON.stringify({ ...hello, name: "x".repeat(64) }),
    "services that are none": JSON.stringify({ ...hello, services: ["127.0.0.1:22"] }),
    "too many services": JSON.stringify({
      ...hello,
      services: Array.from({ length: 65 }, (_, i) => `s${i}`),
    }),
    "a service that is no text": JSON.stringify({ ...hello, services: [{}] }),
  }))
    it(`are no hello with ${what}`, () => assert.equal(parseHello(said(text)).kind, "no"));

  it("are not too long, nor other than UTF-8", () => {
    assert.equal(parseHello(Uint8Array.of(0xff, 0xff)).kind, "no");
    assert.equal(parseHello(Uint8Array.of((maxMessage + 1) >> 8, (maxMessage + 1) & 255)).kind, "no");
    assert.equal(parseHello(Uint8Array.of(0, 2, 0xc3, 0x28)).kind, "no");
  });

  it("hold nothing that a terminal would obey", () => {
    const parsed = parseHello(said(JSON.stringify({ ...hello, version: `\u001b[2J${"v".repeat(1000)}` })));
    assert.ok(parsed.kind === "ok");
    assert.doesNotMatch(parsed.value.version, /\p{Cc}/u);
    assert.ok(parsed.value.version.length <= 200);
  });

  it("never throw, whatever comes", () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
        for (const parse of [parseHello, parseOpen, parseAnswer]) parse(said(text));
      }),
    );
  });
});
