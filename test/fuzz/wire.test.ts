import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseClientHello } from "../../src/wire/client-hello.ts";
import type { Parsed } from "../../src/wire/cursor.ts";
import { encodeProxyV1, encodeProxyV2, parseProxyHeader } from "../../src/wire/proxy-protocol.ts";
import { normaliseServerName } from "../../src/wire/server-name.ts";
import { clientHello, records } from "../support/client-hello.ts";

type Parser = (bytes: Uint8Array) => Parsed<unknown>;

const facts = {
  source: { address: "2001:db8::7", port: 51000 },
  destination: { address: "2001:db8::1", port: 8443 },
  alpn: "h2",
  authority: "a.example.com",
  tls: { version: "TLSv1.3", commonName: "alice", certificate: Uint8Array.of(48, 0) },
};
const hello = clientHello({
  serverName: "a.example.com",
  alpn: ["h2", "http/1.1"],
  extra: [
    [13, [0, 4, 4, 3, 8, 4]],
    [43, [4, 3, 4, 3, 3]],
  ],
});

const parsers: readonly { name: string; parse: Parser; seeds: readonly Uint8Array[] }[] = [
  {
    name: "ClientHello",
    parse: parseClientHello,
    seeds: [records(hello), records(hello, 7), records(hello, 1)],
  },
  { name: "PROXY header", parse: parseProxyHeader, seeds: [encodeProxyV1(facts), encodeProxyV2(facts)] },
];

/** A small generator, so that a million inputs fit into CI time and a failing one can be made again. */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 8;
  };
}

function mutate(seed: Uint8Array, next: () => number): Uint8Array {
  const bytes = seed.slice();
  for (let changes = 1 + (next() % 3); changes > 0; changes--) {
    bytes[next() % bytes.length] = next() & 0xff;
  }
  return next() % 4 === 0 ? bytes.subarray(0, next() % (bytes.length + 1)) : bytes;
}

/** What must hold of any answer to any input. */
function check(parse: Parser, input: Uint8Array): void {
  const answer = parse(input);
  if (answer.kind === "ok") assert.ok(answer.used > 0 && answer.used <= input.length);
  else if (answer.kind === "more") assert.ok(answer.atLeast > input.length);
  else assert.ok(answer.detail.length > 0);
}

const seed = Number(process.env.FUZZ_SEED ?? 20261123);
const inputs = 500_000;

for (const { name, parse, seeds } of parsers) {
  describe(`the ${name} parser`, () => {
    it(`answers half a million mutated and random inputs in bounds (seed ${seed})`, () => {
      const next = generator(seed);
      for (let i = 0; i < inputs; i++) {
        const from = seeds[i % seeds.length];
        assert.ok(from !== undefined);
        const input =
          i % 8 === 0 ? Uint8Array.from({ length: next() % 64 }, () => next() & 0xff) : mutate(from, next);
        check(parse, input);
      }
    });

    it("never throws on arbitrary bytes", () => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 600 }), (input) => check(parse, input)),
        { seed, numRuns: 2000 },
      );
    });

    it("does not look past its input", () => {
      fc.assert(
        fc.property(
          fc.constantFrom(...seeds),
          fc.nat(),
          fc.uint8Array({ minLength: 1, maxLength: 64 }),
          (from, at, tail) => {
            const cut = at % (from.length + 1);
            const longer = Uint8Array.from([...from.subarray(0, cut), ...tail]);
            assert.deepEqual(parse(longer.subarray(0, cut)), parse(from.slice(0, cut)));
          },
        ),
        { seed, numRuns: 2000 },
      );
    });

    it("says the same however the input was split", () => {
      for (const from of seeds) {
        const whole = parse(from);
        assert.ok(whole.kind === "ok");
        for (let cut = 0; cut < whole.used; cut++) {
          const part = parse(from.subarray(0, cut));
          assert.ok(part.kind === "more" && part.atLeast <= whole.used, `cut at ${cut}`);
        }
        assert.deepEqual(parse(Uint8Array.from([...from, 1, 2, 3])), whole);
      }
    });
  });
}

describe("server names", () => {
  it("are normalised once and for all, whatever the input", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 300 }), (raw) => {
        const name = normaliseServerName(raw);
        if (name !== null) assert.equal(normaliseServerName(name), name);
      }),
      { seed, numRuns: 20_000 },
    );
  });
});
