import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Turns } from "../../../src/adapters/postgres/turns.ts";
import { message } from "../../../src/adapters/postgres/wire.ts";

/** A session, `c` and what a client says or `s` and what a server says, by the types of messages. */
type Said = readonly [who: "c" | "s", ...messages: readonly string[]];

const bodies: Readonly<Record<string, string>> = {
  ZI: "I",
  ZT: "T",
  ZE: "E",
  Q: "select 1\0",
  D: "Z\0\0\0\u0005I",
  E: "SERROR\0\0",
};
const encoded = (messages: readonly string[]): Uint8Array => {
  const parts = messages.map((one) => message(one[0] ?? "", bodies[one] ?? ""));
  return Uint8Array.from(parts.flatMap((part) => [...part]));
};

function after(
  session: readonly Said[],
  cut: (bytes: Uint8Array) => readonly Uint8Array[] = (b) => [b],
): Turns {
  const turns = new Turns();
  for (const [who, ...messages] of session)
    for (const part of cut(encoded(messages))) {
      if (who === "c") turns.client(part);
      else turns.server(part);
    }
  return turns;
}

const atRest: Readonly<Record<string, readonly Said[]>> = {
  "a session that has said nothing": [],
  "a query and its answer": [
    ["c", "Q"],
    ["s", "T", "D", "C", "ZI"],
  ],
  "a query that failed": [
    ["c", "Q"],
    ["s", "E", "ZI"],
  ],
  "a transaction that is over": [
    ["c", "Q"],
    ["s", "C", "ZT"],
    ["c", "Q"],
    ["s", "C", "ZI"],
  ],
  "the extended protocol": [
    ["c", "P", "B", "D", "E", "S"],
    ["s", "1", "2", "T", "D", "C", "ZI"],
  ],
  "a pipeline, all of it answered": [
    ["c", "B", "E", "S", "B", "E", "S"],
    ["s", "2", "C", "ZI", "2", "C", "ZI"],
  ],
  "an error in the extended protocol": [
    ["c", "P", "H"],
    ["s", "E"],
    ["c", "Q", "B", "S"],
    ["s", "ZI"],
  ],
  "a function call": [
    ["c", "F"],
    ["s", "V", "ZI"],
  ],
  "a copy out": [
    ["c", "Q"],
    ["s", "H", "d", "d", "c", "C", "ZI"],
  ],
  "a copy in": [
    ["c", "Q"],
    ["s", "G"],
    ["c", "d", "d", "c"],
    ["s", "C", "ZI"],
  ],
  "a copy in that the client gave up": [
    ["c", "Q"],
    ["s", "G"],
    ["c", "d", "f"],
    ["s", "E", "ZI"],
  ],
  "a copy in by the extended protocol, whose first Sync nobody answers": [
    ["c", "P", "B", "E", "S"],
    ["s", "1", "2", "G"],
    ["c", "d", "S", "H", "c", "S"],
    ["s", "C", "ZI"],
  ],
  "what the server says in between": [
    ["s", "N", "S", "A"],
    ["c", "Q"],
    ["s", "C", "ZI"],
    ["s", "A"],
  ],
};

const busy: Readonly<Record<string, readonly Said[]>> = {
  "a query without its answer": [["c", "Q"]],
  "an answer that is not over": [
    ["c", "Q"],
    ["s", "T", "D"],
  ],
  "an open transaction": [
    ["c", "Q"],
    ["s", "C", "ZT"],
  ],
  "a transaction that failed and is not over": [
    ["c", "Q"],
    ["s", "E", "ZE"],
  ],
  "a pipeline of which the first is answered": [
    ["c", "Q", "Q"],
    ["s", "C", "ZI"],
  ],
  "what no Sync has come for": [
    ["c", "Q"],
    ["s", "C", "ZI"],
    ["c", "P", "B", "H"],
    ["s", "1", "2"],
  ],
  "an error before its Sync": [
    ["c", "P", "H"],
    ["s", "E"],
  ],
  "a copy under way": [
    ["c", "Q"],
    ["s", "G"],
    ["c", "d", "S"],
  ],
  "a copy whose outcome is not known": [
    ["c", "Q"],
    ["s", "G"],
    ["c", "d", "c"],
  ],
  replication: [
    ["c", "Q"],
    ["s", "W"],
    ["c", "c"],
    ["s", "c", "C", "ZI"],
  ],
  "an answer to nothing": [["s", "ZI"]],
};

describe("whether a session of Postgres has nothing under way", () => {
  for (const [what, session] of Object.entries(atRest))
    it(`has not: ${what}`, () => assert.ok(after(session).atRest));
  for (const [what, session] of Object.entries(busy))
    it(`has, or may have: ${what}`, () => assert.ok(!after(session).atRest));

  it("has, while a message is half there", () => {
    for (const who of ["c", "s"] as const) {
      const turns = after([
        ["c", "Q"],
        ["s", "C", "ZI"],
      ]);
      const bytes = encoded([who === "c" ? "H" : "N"]);
      for (const [i, byte] of [...bytes].entries()) {
        turns[who === "c" ? "client" : "server"](Uint8Array.of(byte));
        if (i < bytes.length - 1) assert.ok(!turns.atRest);
      }
    }
  });

  it("may have, where a stream is none of Postgres's", () => {
    const turns = new Turns();
    turns.server(Uint8Array.of(0x5a, 0, 0, 0, 3));
    assert.ok(!turns.atRest);
    turns.client(encoded(["Q"]));
    turns.server(encoded(["ZI"]));
    assert.ok(!turns.atRest);
  });

  it("does not keep more than it may of what waits", () => {
    const turns = after([["c", ...Array.from({ length: 2000 }, () => "S")]]);
    turns.server(encoded(Array.from({ length: 2000 }, () => "ZI")));
    assert.ok(!turns.atRest);
  });

  it("says the same however the bytes are cut", () => {
    const cases = [
      ...Object.values(atRest).map((session) => [session, true] as const),
      ...Object.values(busy).map((session) => [session, false] as const),
    ];
    fc.assert(
      fc.property(
        fc.constantFrom(...cases),
        fc.array(fc.integer({ min: 1, max: 9 })),
        ([session, rest], sizes) => {
          let turn = 0;
          const cut = (bytes: Uint8Array): Uint8Array[] => {
            const parts: Uint8Array[] = [];
            for (let at = 0; at < bytes.length; ) {
              const size = sizes.length === 0 ? 1 : (sizes[turn++ % sizes.length] ?? 1);
              parts.push(bytes.subarray(at, at + size));
              at += size;
            }
            return parts;
          };
          assert.equal(after(session, cut).atRest, rest);
        },
      ),
    );
  });
});
