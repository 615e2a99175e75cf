import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { StatementLog } from "../../../src/adapters/postgres/statements.ts";
import { message } from "../../../src/adapters/postgres/wire.ts";
import { share } from "../../support/fuzz.ts";

type Line = readonly [text: string, error: string | null, rows: number | null];

function follow(): { log: StatementLog; lines: Line[] } {
  const lines: Line[] = [];
  const log = new StatementLog(
    ({ text, error, rows }) => lines.push([text, error, rows]),
    () => 0,
  );
  return { log, lines };
}

const query = (sql: string) => message("Q", `${sql}\0`);
const parse = (name: string, sql: string) => message("P", `${name}\0${sql}\0\0\0`);
const bind = (portal: string, name: string) => message("B", `${portal}\0${name}\0\0\0\0\0\0\0`);
const execute = (portal = "") => message("E", `${portal}\0\0\0\0\0`);
const sync = message("S");
const copyDone = message("c");
const copyData = message("d", "1\n");

const complete = (tag: string) => message("C", `${tag}\0`);
const failed = (code: string) => message("E", `SERROR\0C${code}\0Mno\0\0`);
const ready = message("Z", "I");
const parsed = message("1");
const bound = message("2");
const copyIn = message("G", "\0\0\0");

type Step = readonly [who: "client" | "server", ...messages: Uint8Array[]];

/** The lines of a conversation, its bytes in pieces of `size`. */
function linesOf(steps: readonly Step[], size = 1_000_000): Line[] {
  const { log, lines } = follow();
  for (const [who, ...messages] of steps) {
    const bytes = Uint8Array.from(messages.flatMap((one) => [...one]));
    for (let at = 0; at < bytes.length; at += size) assert.ok(log[who](bytes.subarray(at, at + size)));
  }
  log.end();
  return lines;
}

const conversations: readonly { what: string; steps: readonly Step[]; lines: readonly Line[] }[] = [
  {
    what: "a query",
    steps: [
      ["client", query("select 1")],
      ["server", message("T", "\0\0"), message("D", "\0\0"), complete("SELECT 1"), ready],
    ],
    lines: [["select 1", null, 1]],
  },
  {
    what: "queries sent at once",
    steps: [
      ["client", query("insert"), query("bad"), query("create")],
      ["server", complete("INSERT 0 5"), ready, failed("42601"), ready, complete("CREATE TABLE"), ready],
    ],
    lines: [
      ["insert", null, 5],
      ["bad", "42601", null],
      ["create", null, null],
    ],
  },
  {
    what: "a query of several statements, of which one fails",
    steps: [
      ["client", query("a; b")],
      ["server", complete("UPDATE 2"), failed("22012"), ready],
      ["client", query("a; b")],
      ["server", complete("UPDATE 2"), complete("DELETE 3"), ready],
    ],
    lines: [
      ["a; b", "22012", null],
      ["a; b", null, 5],
    ],
  },
  {
    what: "nothing at all",
    steps: [
      ["client", query("")],
      ["server", message("I"), ready],
    ],
    lines: [["", null, null]],
  },
  {
    what: "a prepared statement, run twice",
    steps: [
      ["client", parse("s", "select $1"), bind("", "s"), execute(), bind("", "s"), execute(), sync],
      ["server", parsed, bound, complete("SELECT 1"), bound, complete("SELECT 2"), ready],
    ],
    lines: [
      ["select $1", null, 1],
      ["select $1", null, 2],
    ],
  },
  {
    what: "a pipeline in which one fails, and what is passed over up to the Sync",
    steps: [
      ["client", parse("", "one"), bind("", ""), execute(), parse("", "two"), bind("", ""), execute()],
      ["server", parsed, bound, complete("SELECT 1"), failed("42P01")],
      ["client", parse("", "three"), bind("", ""), execute(), query("four"), sync],
      ["server", ready],
      ["client", query("five")],
      ["server", complete("SELECT 5"), ready],
    ],
    lines: [
      ["one", null, 1],
      ["two", "42P01", null],
      ["five", null, 5],
    ],
  },
  {
    what: "a name that the server has for another statement than the client says",
    steps: [
      ["client", parse("s", "drop table a"), sync, parse("s", "select 1"), sync],
      ["server", parsed, ready, failed("42P05"), ready],
      ["client", bind("", "s"), execute(), sync],
      ["server", bound, complete("DROP TABLE"), ready],
    ],
    lines: [
      ["select 1", "42P05", null],
      ["drop table a", null, null],
    ],
  },
  {
    what: "names that differ in bytes that are no text",
    steps: [
      [
        "client",
        message("P", Uint8Array.of(0xff, 0), "evil\0\0\0"),
        message("P", Uint8Array.of(0xfe, 0), "good\0\0\0"),
        message("B", Uint8Array.of(0, 0xff, 0), "\0\0\0\0\0\0"),
        execute(),
        sync,
      ],
      ["server", parsed, parsed, bound, complete("SELECT 1"), ready],
    ],
    lines: [["evil", null, 1]],
  },
  {
    what: "a portal that stops half-way",
    steps: [
      ["client", parse("", "many"), bind("p", ""), execute("p"), execute("p"), sync],
      [
        "server",
        parsed,
        bound,
        message("D", "\0\0"),
        message("D", "\0\0"),
        message("s"),
        complete("SELECT 1"),
        ready,
      ],
    ],
    lines: [
      ["many", null, 2],
      ["many", null, 1],
    ],
  },
  {
    what: "what fails at the end of the transaction",
    steps: [
      ["client", parse("", "insert"), bind("", ""), execute(), sync],
      ["server", parsed, bound, complete("INSERT 0 1"), failed("23503"), ready],
    ],
    lines: [
      ["insert", null, 1],
      ["(end of the implicit transaction)", "23503", null],
    ],
  },
  {
    what: "COPY in a query",
    steps: [
      ["client", query("copy a from stdin")],
      ["server", copyIn],
      ["client", copyData, copyDone],
      ["server", complete("COPY 1"), ready],
      ["client", query("next")],
      ["server", complete("SELECT 1"), ready],
    ],
    lines: [
      ["copy a from stdin", null, 1],
      ["next", null, 1],
    ],
  },
  {
    what: "COPY in the extended protocol: Syncs inside of it are passed over",
    steps: [
      ["client", parse("", "copy"), bind("", ""), execute(), sync],
      ["server", parsed, bound, copyIn],
      ["client", copyData, sync, copyDone, sync],
      ["server", complete("COPY 1"), ready],
      ["client", query("next")],
      ["server", complete("SELECT 1"), ready],
    ],
    lines: [
      ["copy", null, 1],
      ["next", null, 1],
    ],
  },
  {
    what: "COPY whose data comes before the server asks for it",
    steps: [
      ["client", query("copy a from stdin"), copyData, copyDone, query("next")],
      ["server", copyIn, complete("COPY 1"), ready, complete("SELECT 7"), ready],
    ],
    lines: [
      ["copy a from stdin", null, 1],
      ["next", null, 7],
    ],
  },
  {
    what: "two COPYs in one query",
    steps: [
      ["client", query("copy a from stdin; copy b from stdin")],
      ["server", copyIn],
      ["client", copyData, copyDone],
      ["server", complete("COPY 1"), copyIn],
      ["client", copyData, copyDone],
      ["server", complete("COPY 2"), ready],
      ["client", query("next")],
      ["server", complete("SELECT 1"), ready],
    ],
    lines: [
      ["copy a from stdin; copy b from stdin", null, 3],
      ["next", null, 1],
    ],
  },
  {
    what: "COPY that fails while its data still comes",
    steps: [
      ["client", parse("", "copy"), bind("", ""), execute(), sync],
      ["server", parsed, bound, copyIn],
      ["client", copyData],
      ["server", failed("22P02")],
      ["client", copyData, copyDone, sync],
      ["server", ready],
      ["client", query("next")],
      ["server", complete("SELECT 1"), ready],
    ],
    lines: [
      ["copy", "22P02", null],
      ["next", null, 1],
    ],
  },
  {
    what: "a connection that ends in the middle",
    steps: [["client", query("never"), parse("", "nor this")]],
    lines: [["never", "08006", null]],
  },
  {
    what: "a notice, a parameter and a notification between",
    steps: [
      ["client", query("select 1")],
      ["server", message("N", "SNOTICE\0\0"), message("S", "a\0b\0"), message("A", "\0\0\0\x01a\0b\0")],
      ["server", complete("SELECT 1"), ready, failed("57P01")],
    ],
    lines: [["select 1", null, 1]],
  },
];

describe("what was said and done in a session", () => {
  for (const { what, steps, lines } of conversations) {
    it(what, () => {
      for (const size of [1_000_000, 1, 3]) assert.deepEqual(linesOf(steps, size), lines);
    });
  }

  it("is kept as far as there is room, and its length counted", () => {
    const { log } = follow();
    let seen = { length: 0, omitted: 0 };
    const counting = new StatementLog(({ text, omitted = 0 }) => {
      seen = { length: text.length, omitted };
    });
    const sql = "x".repeat(1_000_000);
    counting.client(query(sql));
    counting.server(Uint8Array.of(...complete("SELECT 1"), ...ready));
    assert.ok(seen.length <= 8192);
    assert.ok(Math.abs(seen.length + seen.omitted - sql.length) <= 1);
    assert.equal(log.room(), undefined);
  });

  it("names that the server would cut stand for nothing: what they are is written at once", () => {
    const { log, lines } = follow();
    const long = "n".repeat(64);
    log.client(Uint8Array.of(...parse(`${long}1`, "drop"), ...bind("", `${long}2`), ...execute(), ...sync));
    log.server(Uint8Array.of(...parsed, ...bound, ...complete("DROP TABLE"), ...ready));
    log.client(
      Uint8Array.of(...parse("", "select"), ...bind(`${long}3`, ""), ...execute(`${long}4`), ...sync),
    );
    log.server(Uint8Array.of(...parsed, ...bound, ...complete("SELECT 1"), ...ready));
    assert.deepEqual(lines, [
      [`(prepared statement "${long}") drop`, null, null],
      [`(prepared statement "${long}")`, null, null],
      [`(portal "${long}") select`, null, null],
      [`(portal "${long}")`, null, 1],
    ]);
  });

  it("a name can't push the statement out of what is kept", () => {
    assert.equal(follow().log.client(parse("n".repeat(1024), "drop")), true);
    for (const wrong of [parse("n".repeat(1025), "x"), bind("", "n".repeat(1025)), execute("n".repeat(9000))])
      assert.equal(follow().log.client(wrong), false);
  });

  it("of more prepared statements than are kept, each is written once", () => {
    const { log, lines } = follow();
    for (let i = 0; i < 1001; i++) {
      log.client(parse(`s${i}`, `statement ${i}`));
      log.server(parsed);
    }
    assert.deepEqual(lines, [['(prepared statement "s0") statement 0', null, null]]);
    log.client(bind("", "s0"));
    log.client(execute());
    log.server(Uint8Array.of(...bound, ...complete("SELECT 1")));
    assert.deepEqual(lines[1], ['(prepared statement "s0")', null, 1]);
  });

  it("makes the client wait when too much waits for an answer", async () => {
    const { log, lines } = follow();
    for (let i = 0; i < 10_000; i++) log.client(query(`${i}`));
    const room = log.room();
    assert.ok(room);
    for (let i = 0; i < 6000; i++) log.server(Uint8Array.of(...complete("SELECT 1"), ...ready));
    await room;
    assert.equal(log.room(), undefined);
    for (let i = 0; i < 4000; i++) log.server(Uint8Array.of(...complete("SELECT 1"), ...ready));
    assert.equal(lines.length, 10_000);
    assert.deepEqual(lines.at(-1), ["9999", null, 1]);
    const long = "x".repeat(8000);
    for (let i = 0; i < 130; i++) log.client(query(long));
    assert.ok(log.room());
  });

  it("what is no stream of messages is told as such", () => {
    assert.equal(follow().log.client(Uint8Array.of(81, 0, 0, 0, 3)), false);
    assert.equal(follow().log.server(Uint8Array.of(90, 0, 0, 0, 0)), false);
  });

  it("whatever comes, it neither throws nor remembers without end", () =>
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(
            fc.boolean(),
            fc.oneof(
              fc.uint8Array({ maxLength: 30 }),
              fc.constantFrom(
                query("q"),
                parse("s", "p"),
                bind("", "s"),
                execute(),
                sync,
                copyDone,
                message("f"),
              ),
              fc.constantFrom(
                complete("SELECT 1"),
                ready,
                failed("22012"),
                parsed,
                bound,
                copyIn,
                message("s"),
              ),
            ),
          ),
          { maxLength: 40 },
        ),
        (parts) => {
          const { log, lines } = follow();
          for (const [fromClient, bytes] of parts)
            if (!(fromClient ? log.client(bytes) : log.server(bytes))) break;
          log.end();
          assert.ok(lines.length <= parts.length + 1);
        },
      ),
      { numRuns: share(3000) },
    ));
});
