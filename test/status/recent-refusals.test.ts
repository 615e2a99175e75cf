import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ConnectionRecord } from "../../src/core/record.ts";
import { RecentRefusals } from "../../src/status/recent-refusals.ts";

const record = (more: Partial<ConnectionRecord>): ConnectionRecord => ({
  time: "2026-01-01T00:00:00.000Z",
  id: "1",
  event: "connection",
  outcome: "refused",
  reason: "unknown_name",
  source: "192.0.2.1:1000",
  listener: "127.0.0.1:8443",
  sni: "a.example.com",
  alpn: null,
  tls: null,
  ja4: null,
  resumed: false,
  route: null,
  adapter: null,
  upstream: null,
  database: null,
  agent: null,
  software: null,
  identity: null,
  logins: null,
  bytes_in: 0,
  bytes_out: 0,
  duration_ms: 1,
  detail: "no route serves a.example.com",
  ...more,
});

function after(...records: readonly Partial<ConnectionRecord>[]) {
  const refusals = new RecentRefusals(3);
  for (const one of records) refusals.take(record(one));
  return refusals.list;
}

describe("recent refusals", () => {
  it("are the connections that came to nothing, the last one first", () => {
    const list = after(
      { reason: "ok", outcome: "served" },
      { sni: "first.example.com" },
      { sni: "second.example.com", outcome: "failed", reason: "upstream_unreachable" },
      // Balancers ask in this way whether we are there.
      { outcome: "failed", reason: "client_closed" },
    );
    assert.deepEqual(
      list.map(({ sni, outcome, count }) => [sni, outcome, count]),
      [
        ["second.example.com", "failed", 1],
        ["first.example.com", "refused", 1],
      ],
    );
  });

  it("count the same one together, whatever port it comes from", () => {
    const [one, ...others] = after({}, { source: "192.0.2.1:2000", time: "2026-01-02T00:00:00.000Z" });
    assert.deepEqual([one?.count, one?.source, one?.time], [2, "192.0.2.1:2000", "2026-01-02T00:00:00.000Z"]);
    assert.equal(others.length, 0);
    assert.equal(after({}, { source: "192.0.2.2:1000" }, { source: "[2001:db8::1]:1" }).length, 3);
  });

  it("are no more than there is room for, however many come", () => {
    const many = Array.from({ length: 1000 }, (_, i) => ({ sni: `${i}.example.com` }));
    assert.deepEqual(
      after(...many).map(({ sni }) => sni),
      ["999.example.com", "998.example.com", "997.example.com"],
    );
  });

  it("keep no more of what peers say than people read", () => {
    const [one] = after({ sni: "x".repeat(10_000), detail: "y".repeat(10_000) });
    assert.equal(one?.sni?.length, 301);
    assert.equal(one?.detail?.length, 301);
  });
});
