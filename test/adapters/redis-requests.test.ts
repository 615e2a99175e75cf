import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type Heard, Requests } from "../../src/adapters/redis/requests.ts";
import { commandName, request } from "../../src/wire/redis.ts";
import { share } from "../support/fuzz.ts";

const ascii = (text: string): Uint8Array => Uint8Array.from(text, (c) => c.charCodeAt(0));
const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");

/** A follower that puts `REPLACED` where `AUTH` was. */
const follower = (heard: ((command: Heard) => void) | null = null) => {
  const judged: string[][] = [];
  const requests = new Requests({
    concerns: (name) => name === "auth" || name === "select",
    judge: (args) => {
      judged.push(args.map(latin1));
      return commandName(args[0] ?? new Uint8Array(0)) === "auth" ? request(["REPLACED"]) : null;
    },
    heard,
  });
  return { requests, judged };
};

/** What goes upstream for these bytes, in pieces of these sizes. */
function passed(bytes: Uint8Array, sizes: readonly number[], heard?: (command: Heard) => void) {
  const { requests, judged } = follower(heard ?? null);
  let out = "";
  let problem: string | null = null;
  for (let at = 0, i = 0; at < bytes.length && problem === null; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    const step = requests.push(bytes.subarray(at, at + size));
    out += latin1(step.bytes);
    problem = step.problem;
    at += size;
  }
  return { out, problem, judged };
}

const name = fc.constantFrom("GET", "aUtH", "SELECT", "set", "AUTH", "\0", "", "A".repeat(70));
const argument = fc.oneof(
  fc.uint8Array({ maxLength: 40 }),
  fc.constantFrom("\r\n", "*1\r\n$4\r\nAUTH\r\n", "AUTH a b\r\n").map(ascii),
);
const command = fc.tuple(name, fc.array(argument, { maxLength: 4 }));
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 });

describe("a client's commands, followed", () => {
  it("go on as they came, but for those that are judged, however they are cut", () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 12 }), sizes, fc.boolean(), (commands, cuts, audited) => {
        const bytes = Buffer.concat(commands.map(([first, args]) => request([first, ...args])));
        const expected = commands
          .map(([first, args]) => request(first.toLowerCase() === "auth" ? ["REPLACED"] : [first, ...args]))
          .map(latin1)
          .join("");
        const heard: Heard[] = [];
        const { out, problem, judged } = passed(bytes, cuts, audited ? (one) => heard.push(one) : undefined);
        assert.equal(problem, null);
        assert.equal(out, expected);
        assert.deepEqual(
          judged,
          commands
            .filter(([first]) => /^(?:auth|select)$/i.test(first))
            .map(([first, args]) => [first, ...args.map(latin1)]),
        );
        const shown = heard.map((one) => [one.name, one.first === null ? null : latin1(one.first), one.args]);
        const all = commands.map(([first, args]) =>
          first.length > 64
            ? [null, null, args.length]
            : [first.toLowerCase(), args[0] === undefined ? null : latin1(args[0]), args.length],
        );
        assert.deepEqual(shown, audited ? all : []);
      }),
      { numRuns: share(2000) },
    );
  });

  it("on lines of words are written anew, as servers read them", () => {
    const lines: readonly (readonly [string, readonly string[]])[] = [
      ["PING\r\n", ["PING"]],
      ["  set  a\tb \n", ["set", "a", "b"]],
      ['set "a b" \'c "d\'\n', ["set", "a b", 'c "d']],
      ['"\\x50ING" "\\n\\r\\t\\b\\a\\q\\xzz" \'\\\'\\n\'\n', ["PING", "\n\r\t\b\x07qxzz", "'\\n"]],
      ['a"b c"\n', ["ab c"]],
      ["g\xe9t \xff\n", ["g\xe9t", "\xff"]],
      ['""\n', [""]],
      ["Select 1\n", ["Select", "1"]],
      ["'AUTH' x\n", ["REPLACED"]],
    ];
    for (const [line, words] of lines)
      for (const size of [1, 3, 1000])
        assert.equal(
          passed(ascii(line), [size]).out,
          latin1(request(words.map((word) => ascii(word)))),
          JSON.stringify(line),
        );
  });

  it("that are none go no further", () => {
    const { out, problem } = passed(ascii("\r\n*0\r\n \n*-1\r\n*1\r\n$4\r\nPING\r\n"), [1]);
    assert.deepEqual([out, problem], ["*1\r\n$4\r\nPING\r\n", null]);
  });

  it("that servers might read otherwise are refused, and nothing of them goes on", () => {
    const wrong = [
      ...["*01\r\n", "*+1\r\n", "* 1\r\n", "*1\n", "*1\r", "*-0\r\n", "*1a\r\n", "*\r\n", "*1e3\r\n"],
      ...[
        "*1\r\n$04\r\nAUTH\r\n",
        "*1\r\n$4\n",
        "*1\r\n$4\r\nAUTHxx",
        "*1\r\n$-1\r\n",
        "*1\r\n:4\r\n",
        "*1\r\nAUTH\r\n",
      ],
      ...["*1\r\n*1\r\n$4\r\nAUTH\r\n", "*1000000000000000\r\n", "*1\r\n$1000000000000000\r\n"],
      ...['"AUTH\n', '"AUTH"x\n', "'AUTH'x\n", "AU\0TH\n", `${"x".repeat(65_536)}\n`],
      `*3\r\n$4\r\nAUTH\r\n$70000\r\n${"x".repeat(70_000)}\r\n$1\r\nx\r\n`,
      `*9\r\n$4\r\nAUTH\r\n${`$10000\r\n${"x".repeat(10_000)}\r\n`.repeat(8)}`,
    ];
    const single = (count: number): number[] => new Array<number>(count).fill(1);
    // Long ones byte by byte at their beginning, and where they get too long.
    const nearLimit = [...single(100), 65_000, ...single(1000)];
    for (const text of wrong)
      for (const cuts of [text.length < 1000 ? [1] : nearLimit, [7], [100_000]]) {
        const { out, problem, judged } = passed(ascii(`*1\r\n$4\r\nPING\r\n${text}\r\n\r\n`), cuts);
        assert.ok(problem !== null, JSON.stringify(text.slice(0, 60)));
        assert.ok(
          /^\*1\r\n\$4\r\nPING\r\n(?:\*\d+\r\n)?$/.test(out) && judged.length === 0,
          JSON.stringify(out.slice(0, 60)),
        );
      }
  });

  it("keep no more than beginnings", () => {
    const { requests } = follower();
    requests.push(ascii("*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$100000000\r\n"));
    const chunk = new Uint8Array(64 * 1024);
    // The very bytes that came, not a copy.
    assert.equal(requests.push(chunk).bytes.buffer, chunk.buffer);
  });
});
