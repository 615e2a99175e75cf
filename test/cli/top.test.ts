import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Answer, Rates, sorted } from "../../src/cli/top/rates.ts";
import { table } from "../../src/cli/top/table.ts";

const connection = (
  id: string,
  more: Partial<Answer["connections"][number]> = {},
): Answer["connections"][number] => ({
  id,
  since: "2026-11-28T12:00:00.000Z",
  route: "a",
  source: "127.0.0.1:1",
  sni: null,
  subject: null,
  bytes_in: 0,
  bytes_out: 0,
  ...more,
});
const now = Date.parse("2026-11-28T13:02:03.000Z");

describe("what connections carry a second", () => {
  it("is the difference between two looks; nothing at the first", () => {
    const rates = new Rates();
    const first = rates.rows({ open: 1, connections: [connection("x", { bytes_in: 500 })] }, 1000, now);
    assert.equal(first[0]?.rate_in, 0);
    const [x, y] = rates.rows(
      {
        open: 2,
        connections: [connection("x", { bytes_in: 1500, bytes_out: 4000 }), connection("y", { bytes_in: 9 })],
      },
      3000,
      now,
    );
    assert.deepEqual([x?.rate_in, x?.rate_out, y?.rate_in], [500, 2000, 0]);
    assert.equal(x?.age_seconds, 3723);
  });

  it("says in which order rows come, the oldest first among equals", () => {
    const since = (minute: number): string => `2026-11-28T12:0${minute}:00.000Z`;
    const rows = new Rates().rows(
      {
        open: 3,
        connections: [
          connection("b", { since: since(2) }),
          connection("a", { since: since(1) }),
          connection("c", { bytes_in: 5, since: since(3) }),
        ],
      },
      1,
      now,
    );
    assert.deepEqual(
      sorted(rows, "bytes").map(({ id }) => id),
      ["c", "a", "b"],
    );
    assert.deepEqual(
      sorted(rows, "rate").map(({ id }) => id),
      ["a", "b", "c"],
    );
  });
});

describe("a table of connections", () => {
  it("is as wide as the terminal, and nothing in it moves the cursor", () => {
    const odd = connection("x", {
      subject: `CN=\u001b[2Jeve\u202e${"long".repeat(50)}`,
      bytes_in: 1_234_567,
    });
    const rows = new Rates().rows({ open: 1, connections: [odd] }, 1, now);
    for (const width of [60, 80, 120, 200]) {
      const lines = table(rows, width);
      assert.ok(
        lines.every((line) => [...line].length <= width),
        lines.join("\n"),
      );
      assert.ok(lines.every((line) => !/[\p{Cc}\p{Cf}]/u.test(line)));
    }
    assert.match(table(rows, 120)[1] ?? "", /CN=\\u\{1b\}\[2Jeve.*… 127\.0\.0\.1:1 +1h02m +1\.2 MB/);
  });
});
