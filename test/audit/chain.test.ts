import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Chain, genesis, lastLink } from "../../src/audit/chain.ts";
import { Verifier, type VerifyOptions, type VerifyReport } from "../../src/audit/verify.ts";

const sha256Hex = (data: string | Uint8Array): string => createHash("sha256").update(data).digest("hex");
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const hashOf = (line = ""): string => sha256Hex(line);

const written = (count: number, chain = new Chain(genesis, sha256Hex)): string[] =>
  Array.from({ length: count }, (_, i) =>
    chain.next(JSON.stringify({ event: "connection", id: i, sni: "ü.test" })),
  );

function verified(
  lines: readonly string[],
  options: Partial<VerifyOptions> = {},
  incomplete = false,
): VerifyReport {
  const verifier = new Verifier(
    { partial: false, restarts: false, first: null, last: null, ...options },
    sha256Hex,
  );
  for (const [i, line] of lines.entries()) verifier.line(bytes(line), "audit.log", i + 1);
  return verifier.end(incomplete, "audit.log", lines.length);
}

const firstBreak = (report: VerifyReport): string => {
  assert.equal(report.ok, false);
  const [one] = report.breaks;
  return `${one?.line}: ${one?.problem}`;
};

describe("a chain of audit lines", () => {
  it("begins with nothing, and each line has the hash of the one before", () => {
    const [first = "", second = ""] = written(2);
    assert.equal(first, `{"event":"connection","id":0,"sni":"ü.test","seq":1,"chain":"${"0".repeat(64)}"}`);
    assert.equal((JSON.parse(second) as { chain: string }).chain, sha256Hex(first));
  });

  it("is whole as it was written", () => {
    const lines = written(5);
    const report = verified(lines);
    assert.ok(report.ok, JSON.stringify(report));
    assert.deepEqual([report.first, report.last], [1, { seq: 5, hash: hashOf(lines[4]) }]);
  });

  it("shows which line was changed, by the one behind it", () => {
    const lines = written(5);
    lines[2] = lines[2]?.replace('"id":2', '"id":7') ?? "";
    assert.equal(
      firstBreak(verified(lines)),
      "4: does not follow the line before: one of the two was changed",
    );
  });

  it("shows which lines are missing", () => {
    assert.equal(
      firstBreak(verified(written(9).toSpliced(3, 2))),
      "4: lines 4 to 5 of the chain are missing",
    );
    assert.equal(firstBreak(verified(written(9).slice(2))), "1: lines 1 to 2 of the chain are missing");
    assert.equal(firstBreak(verified(written(9).toSpliced(7, 1))), "8: line 8 of the chain is missing");
  });

  it("shows what was put in, and what is out of order", () => {
    const lines = written(4);
    const [a = "", b = "", c = "", d = ""] = lines;
    assert.match(firstBreak(verified([a, b, b, c, d])), /^3: line 2 of the chain behind line 2/);
    assert.match(firstBreak(verified([a, c, b, d])), /^2: line 2 of the chain is missing/);
    assert.match(firstBreak(verified([a, b, '{"event":"connection"}', c, d])), /^4: does not follow/);
    assert.match(firstBreak(verified([a, b, "what?", "ever", c, d])), /^3: no line of the chain/);
    assert.match(firstBreak(verified([a, b, c, d, "{}"])), /^5: no line of the chain/);
  });

  it("shows a chain that was written anew, but for where that is expected", () => {
    const lines = [...written(3), ...written(2)];
    assert.match(firstBreak(verified(lines)), /^4: another chain begins here/);
    assert.ok(verified(lines, { restarts: true }).ok);
    // Its head is gone: that is no restart.
    assert.equal(verified(lines.toSpliced(3, 1), { restarts: true }).ok, false);
  });

  it("shows by a hash that was kept whether the end is there", () => {
    const lines = written(6);
    const kept = hashOf(lines[3]);
    assert.equal(verified(lines, { last: kept }).since, 2);
    assert.match(
      firstBreak(verified(lines.slice(0, 3), { last: kept })),
      /^3: no line has the hash .* line 3 /,
    );
    // The same with a chain that somebody has written anew from some line on.
    const forged = [
      ...lines.slice(0, 2),
      ...written(4, new Chain({ seq: 2, hash: hashOf(lines[1]) }, sha256Hex)).map(String),
    ];
    assert.ok(verified(forged).ok, "without a hash nobody can tell");
    assert.equal(verified(forged, { last: kept }).ok, false);
  });

  it("may begin later where that is said", () => {
    const lines = written(6).slice(2);
    assert.ok(verified(lines, { partial: true }).ok);
    assert.ok(verified(lines, { first: hashOf(written(2)[1]) }).ok);
    assert.equal(verified(lines, { first: hashOf(written(1)[0]) }).ok, false);
    assert.equal(verified(lines.toSpliced(1, 1), { partial: true }).ok, false);
  });

  it("goes on behind a line that was cut off, which the next one vouches for", () => {
    const lines = written(3);
    const torn = (lines[2] ?? "").slice(0, 30);
    const end = bytes(`${lines[0]}\n${lines[1]}\n${torn}`);
    const link = lastLink(end, sha256Hex);
    assert.deepEqual(link, { seq: 2, hash: sha256Hex(torn), numbered: sha256Hex(lines[1] ?? "") });
    const more = written(2, new Chain(link ?? genesis, sha256Hex));
    const report = verified([...lines.slice(0, 2), torn, ...more]);
    assert.ok(report.ok, JSON.stringify(report));
    assert.equal(report.torn, 1);
    assert.equal(verified([...lines.slice(0, 2), `${torn}x`, ...more]).ok, false);
    assert.equal(verified([...lines.slice(0, 2), ...more]).ok, false);
    assert.match(firstBreak(verified([...lines.slice(0, 2), torn], {}, true)), /^3: no line of the chain/);
    assert.match(firstBreak(verified(lines, {}, true)), /^3: the last line has no end/);
  });

  it("begins behind lines from before there was one, and vouches for the last of them", () => {
    const before = ['{"event":"connection","id":"a"}', '{"event":"connection","id":"b"}'];
    const link = lastLink(bytes(`${before.join("\n")}\n`), sha256Hex);
    assert.equal(link?.seq, 0);
    const lines = [...before, ...written(2, new Chain(link ?? genesis, sha256Hex))];
    const report = verified(lines);
    assert.ok(report.ok, JSON.stringify(report));
    assert.equal(report.unchained, 2);
    assert.match(firstBreak(verified(lines.with(1, before[0] ?? ""))), /^3: the line before was changed/);
  });

  it("is no chain where no line has one", () => {
    assert.equal(verified([]).ok, false);
    assert.equal(verified(['{"event":"connection"}']).ok, false);
  });

  it("whatever single thing is done to a log is noticed", () => {
    const lines = written(12);
    const kept = hashOf(lines[11]);
    const log = bytes(`${lines.join("\n")}\n`);
    const change = fc.oneof(
      fc.record({ at: fc.nat(log.length - 2), to: fc.integer({ min: 0, max: 255 }) }),
      fc.record({ drop: fc.nat(11) }),
      fc.record({ twice: fc.nat(11), at: fc.nat(12) }),
      fc.record({ swap: fc.nat(10) }),
    );
    fc.assert(
      fc.property(change, (how) => {
        let changed = lines;
        if ("to" in how) {
          const other = log.slice();
          other[how.at] = how.to;
          if (other[how.at] === log[how.at]) return;
          // As bytes: what is no UTF-8 any more stays as it is.
          changed = Buffer.from(other.subarray(0, -1)).toString("latin1").split("\n");
          const verifier = new Verifier(
            { partial: false, restarts: true, first: null, last: kept },
            sha256Hex,
          );
          for (const line of changed) verifier.line(Buffer.from(line, "latin1"), "", 1);
          assert.equal(verifier.end(false, "", 1).ok, false);
          return;
        }
        if ("drop" in how) changed = lines.toSpliced(how.drop, 1);
        else if ("twice" in how) changed = lines.toSpliced(how.at, 0, lines[how.twice] ?? "");
        else changed = lines.toSpliced(how.swap, 2, lines[how.swap + 1] ?? "", lines[how.swap] ?? "");
        assert.equal(verified(changed, { last: kept }).ok, false);
      }),
      { numRuns: 300 },
    );
  });
});
