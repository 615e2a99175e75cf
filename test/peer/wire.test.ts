import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  encodeListedAgent,
  encodePeerRequest,
  type ListedAgent,
  type PeerRequest,
  parseListedAgent,
  parsePeerRequest,
} from "../../src/peer/wire.ts";
import { encodeShort, maxMessage } from "../../src/wire/short-message.ts";
import { share } from "../support/fuzz.ts";

const target = {
  agent: "edge-1",
  service: "ssh",
  connection: "7c8d",
  withinMs: 5000,
  asking: {
    source: "192.0.2.1:4711",
    route: "shell",
    identity: { subject: "CN=alice", fingerprint: "ab12" },
  },
};
const requests: readonly PeerRequest[] = [
  { ask: "list" },
  { ask: "open", target },
  { ask: "open", target: { ...target, asking: null } },
  { ask: "open", target: { ...target, asking: { ...target.asking, identity: null } } },
];
const agent: ListedAgent = {
  name: "edge-1",
  services: ["ssh", "web"],
  version: "0.1.0",
  address: "192.0.2.7:1000",
  subject: "CN=edge-1",
  since: "2026-01-01T00:00:00.000Z",
  streams: 3,
  bytesIn: 10,
  bytesOut: 20,
};

describe("what routers ask each other", () => {
  it("is read as it was written, cut anywhere", () => {
    for (const request of requests) {
      const bytes = encodePeerRequest(request);
      assert.deepEqual(parsePeerRequest(bytes), { kind: "ok", value: request, used: bytes.length });
      for (let cut = 0; cut < bytes.length; cut++)
        assert.equal(parsePeerRequest(bytes.subarray(0, cut)).kind, "more");
    }
    for (const one of [agent, null]) {
      const bytes = encodeListedAgent(one);
      assert.deepEqual(parseListedAgent(bytes), { kind: "ok", value: { agent: one }, used: bytes.length });
      for (let cut = 0; cut < bytes.length; cut++)
        assert.equal(parseListedAgent(bytes.subarray(0, cut)).kind, "more");
    }
  });

  for (const [what, said] of Object.entries({
    nothing: {},
    "another question": { ask: "close" },
    "no agent": { ask: "open", service: "ssh" },
    "a service that is no text": { ask: "open", agent: "edge-1", service: 22 },
  }))
    it(`is not ${what}`, () => assert.equal(parsePeerRequest(encodeShort(said)).kind, "no"));

  it("waits neither for ever nor less than no time", () => {
    for (const [said, read] of [
      [1e15, 600_000],
      [-1, 0],
      ["1", 0],
    ] as const) {
      const parsed = parsePeerRequest(
        encodeShort({ ask: "open", agent: "a", service: "b", within_ms: said, asking: 7 }),
      );
      assert.ok(parsed.kind === "ok" && parsed.value.ask === "open");
      assert.equal(parsed.value.target.withinMs, read);
      assert.equal(parsed.value.target.asking, null);
    }
  });

  it("holds nothing that a terminal would obey, or that is too long to record", () => {
    const long = `\u001b[2J${"x".repeat(5000)}`;
    const asking = { source: long, route: long, identity: { subject: long, fingerprint: long } };
    const bytes = encodePeerRequest({ ask: "open", target: { ...target, asking } });
    assert.ok(bytes.length <= maxMessage);
    const sent = { ask: "open", agent: long, service: long, connection: long, within_ms: 1, asking };
    for (const one of [bytes, encodeShort({ ...sent, asking: { ...asking, identity: { subject: long } } })]) {
      const parsed = parsePeerRequest(one);
      const text = parsed.kind === "ok" ? JSON.stringify(parsed.value) : "";
      if (one.length > maxMessage) assert.equal(parsed.kind, "no");
      else {
        assert.equal(parsed.kind, "ok");
        assert.doesNotMatch(text, /\\u001b|x{201}/);
      }
    }
  });

  it("is never thrown over, whatever comes", () => {
    const members = fc.dictionary(
      fc.constantFrom("ask", "agent", "service", "connection", "within_ms", "asking", "identity"),
      fc.oneof(fc.jsonValue(), fc.constantFrom("open", "list")),
    );
    fc.assert(
      fc.property(members, (said) => {
        const bytes = encodeShort({ ...said, agent: said.agent ?? null });
        parsePeerRequest(bytes);
        parseListedAgent(bytes);
      }),
      { numRuns: share(2000) },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        parsePeerRequest(bytes);
        parseListedAgent(bytes);
      }),
      { numRuns: share(2000) },
    );
  });
});
