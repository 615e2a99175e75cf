import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { renewalOf, waitAfter } from "../../src/acme/due.ts";
import { problemText, retryAfterMs } from "../../src/acme/problem.ts";
import { authority } from "../support/environment.ts";

const dayMs = 24 * 3_600_000;
const minuteMs = 60_000;

describe("when a certificate is renewed", () => {
  it("with a third to a quarter of its time left, and not all at once", async () => {
    const left = new Set<number>();
    for (let i = 0; i < 8; i++) {
      const { cert } = await authority.server(["a.test"], 90 * dayMs);
      const days = (Date.now() + 90 * dayMs - renewalOf(cert)) / dayMs;
      assert.ok(days > 22.4 && days < 30.1, `${days} days left`);
      assert.equal(renewalOf(cert), renewalOf(cert), "and it stays at that");
      left.add(Math.round(days * 100));
    }
    assert.ok(left.size > 4, "spread");
  });

  it("at once where it can't be read", () => {
    assert.equal(renewalOf("nothing"), 0);
    assert.equal(renewalOf("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"), 0);
  });
});

describe("how long is waited after failures", () => {
  const wait = (count: number, asked: number | null = null) => waitAfter("refused", count, asked, () => 0);

  it("5 minutes, then twice as long each time, 12 hours at most", () => {
    assert.deepEqual(
      [1, 2, 3, 4, 8, 9, 1000].map((count) => wait(count) / minuteMs),
      [5, 10, 20, 40, 640, 720, 720],
    );
  });

  it("no authority's limit of five an hour is reached", () => {
    let at = 0;
    let within = 0;
    for (let count = 1; at < 60 * minuteMs; count++) {
      within++;
      at += wait(count);
    }
    assert.ok(within <= 4, String(within));
  });

  it("half a minute where nobody said no; longer where the authority asks for it, a week at most", () => {
    assert.equal(
      waitAfter("unreachable", 1, null, () => 0),
      minuteMs / 2,
    );
    assert.equal(wait(1, 3 * 60 * minuteMs), 3 * 60 * minuteMs);
    assert.equal(wait(1, 1000), 5 * minuteMs);
    assert.equal(wait(1, 1e15), 7 * dayMs);
  });

  it("up to a tenth more, so that routers don't come together", () => {
    assert.equal(
      waitAfter("refused", 1, null, () => 1),
      5.5 * minuteMs,
    );
  });
});

describe("what an authority says is wrong", () => {
  it("is its type, its words and those of each name, bounded and printable", () => {
    assert.equal(
      problemText({
        type: "urn:ietf:params:acme:error:rejectedIdentifier",
        detail: "not\nthese\u001b[31m",
        subproblems: [{ type: "urn:ietf:params:acme:error:caa", detail: "CAA forbids it" }, 7],
      }),
      "rejectedIdentifier: not these [31m: caa: CAA forbids it",
    );
    assert.equal(problemText({ type: "x", detail: "y".repeat(10_000) })?.length, 500);
    for (const other of [null, 7, "text", {}, { type: 7 }]) assert.equal(problemText(other), null);
  });

  it("says when to come again in seconds or as a date", () => {
    assert.equal(retryAfterMs("120", 0), 120_000);
    assert.equal(retryAfterMs("Thu, 01 Jan 1970 00:01:00 GMT", 0), 60_000);
    assert.equal(retryAfterMs("Thu, 01 Jan 1970 00:01:00 GMT", 90_000), 0);
    for (const odd of [undefined, "", "soon", "-1"]) assert.equal(retryAfterMs(odd, 0), null);
  });
});
