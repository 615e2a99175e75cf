import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { BSON } from "mongodb";
import { Boundaries } from "../../src/adapters/mongodb/boundaries.ts";
import { readClaim } from "../../src/adapters/mongodb/claim.ts";
import { type Asked, Requests, type Verdict } from "../../src/adapters/mongodb/requests.ts";
import { readDocument } from "../../src/wire/bson.ts";
import { type Replied, ReplyReader } from "../../src/wire/mongodb-replies.ts";
import { share } from "../support/fuzz.ts";

const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 });

function* pieces(bytes: Uint8Array, cuts: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = cuts[i % cuts.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

function message(
  id: number,
  body: BSON.Document,
  sequence: readonly BSON.Document[] = [],
  flags = 0,
): Buffer {
  const documents = sequence.map((one) => BSON.serialize(one));
  const name = Buffer.from("documents\0");
  const size = Buffer.alloc(4);
  size.writeInt32LE(4 + name.length + documents.reduce((sum, { length }) => sum + length, 0));
  const rest = documents.length === 0 ? [] : [Buffer.of(1), size, name, ...documents];
  const bytes = Buffer.concat([
    Buffer.alloc(21),
    BSON.serialize(body),
    ...rest,
    Buffer.alloc(flags & 1 ? 4 : 0),
  ]);
  for (const [at, value] of [bytes.length, id, 0, 2013, flags].entries()) bytes.writeInt32LE(value, 4 * at);
  return bytes;
}

/** Follows what is asked, answers `drop`, puts `instead` in the place of `change`. */
function follow(bytes: Uint8Array, cuts: readonly number[]) {
  const judged: string[] = [];
  const instead = Buffer.from("INSTEAD");
  const requests = new Requests({
    concerns: (name) => name !== "unseen",
    judge: ({ name, header }: Asked): Verdict => {
      judged.push(name);
      if (name === "drop") return { kind: "answer", message: Buffer.of(header.requestId) };
      return name === "change" ? { kind: "instead", message: instead } : { kind: "pass" };
    },
  });
  let out = Buffer.alloc(0);
  const answers: number[] = [];
  let problem: string | null = null;
  for (const piece of pieces(bytes, cuts)) {
    const passed = requests.push(piece);
    out = Buffer.concat([out, passed.bytes]);
    answers.push(...passed.answers.map(([first]) => first ?? 0));
    problem = passed.problem;
    if (problem !== null) break;
  }
  return { out, answers, judged, problem };
}

describe("a client's messages, followed", () => {
  const asked = fc.record({
    name: fc.constantFrom("find", "unseen", "drop", "change"),
    text: fc.string({ maxLength: 60 }),
    sequence: fc.array(fc.record({ x: fc.string({ maxLength: 40 }) }), { maxLength: 3 }),
    flags: fc.constantFrom(0, 1, 2, 3),
  });

  it("go on as they came, but for those that are judged, however they are cut", () => {
    fc.assert(
      fc.property(fc.array(asked, { maxLength: 8 }), sizes, (all, cuts) => {
        const messages = all.map(({ name, text, sequence, flags }, i) =>
          message(i, { [name]: "x", text, $db: "d" }, sequence, flags),
        );
        const { out, answers, judged, problem } = follow(Buffer.concat(messages), cuts);
        assert.equal(problem, null);
        const expected = messages.map((bytes, i) => {
          const name = all[i]?.name;
          return name === "drop" ? Buffer.alloc(0) : name === "change" ? Buffer.from("INSTEAD") : bytes;
        });
        assert.deepEqual(out, Buffer.concat(expected));
        assert.deepEqual(
          answers,
          [...all.keys()].filter((i) => all[i]?.name === "drop"),
        );
        assert.deepEqual(
          judged,
          all.map(({ name }) => name).filter((name) => name !== "unseen"),
        );
      }),
      { numRuns: share(1500) },
    );
  });

  it("that are no commands are refused, and nothing of them goes on", () => {
    const good = message(1, { unseen: 1, $db: "d" });
    const changed = (at: number, value: number): Buffer => {
      const copy = Buffer.from(good);
      copy.writeInt32LE(value, at);
      return copy;
    };
    const sequence = Buffer.from(good);
    sequence[20] = 1;
    const nameless = message(1, { ["n".repeat(200)]: 1 });
    const wrong = [
      changed(0, 15),
      changed(0, 48_000_001),
      changed(0, -1),
      changed(12, 2012),
      changed(12, 2001),
      sequence,
      nameless,
    ];
    for (const bytes of wrong)
      for (const size of [1, 7, 1000]) {
        const { out, problem, judged } = follow(Buffer.concat([good, bytes, good]), [size]);
        assert.ok(problem !== null, bytes.toString("hex"));
        assert.deepEqual([out, judged], [good, []]);
      }
    const find = message(1, { find: "x", $db: "d" });
    for (const at of [21, 25]) {
      const copy = Buffer.from(find);
      copy.writeInt32LE(at === 21 ? 5 : 0x7f, at);
      assert.ok(follow(copy, [9]).problem !== null);
    }
  });

  it("keep no more than what must be seen", () => {
    const requests = new Requests({ concerns: () => false, judge: () => ({ kind: "pass" }) });
    const large = message(1, { unseen: "x", text: "y".repeat(200_000), $db: "d" });
    requests.push(large.subarray(0, 100));
    const chunk = large.subarray(100, 100_000);
    // The very bytes that came, not a copy.
    const { bytes } = requests.push(chunk);
    assert.deepEqual(
      [bytes.buffer, bytes.byteOffset, bytes.length],
      [chunk.buffer, chunk.byteOffset, chunk.length],
    );
  });
});

describe("who a client says it is", () => {
  const claim = (command: string, body: BSON.Document) =>
    readClaim(command, readDocument(BSON.serialize(body)) ?? []).user;
  const sasl = (mechanism: string, text: string) =>
    claim("saslStart", { saslStart: 1, mechanism, payload: new BSON.Binary(Buffer.from(text, "latin1")) });

  it("is read as servers read it, or not at all", () => {
    assert.equal(sasl("SCRAM-SHA-256", "n,,n=app,r=abc"), "app");
    assert.equal(sasl("SCRAM-SHA-1", "n,,n=a=2Cb=3Dc,r=abc"), "a,b=c");
    assert.equal(sasl("PLAIN", "\0app\0x"), "app");
    assert.equal(sasl("PLAIN", "app\0app\0x"), "app");
    for (const text of [
      "n,a=bob,n=app,r=x",
      "p=tls-unique,,n=app,r=x",
      "n,,n=a=2cb,r=x",
      "n,,m=1,n=app,r=x",
      "",
      "\xff",
    ])
      assert.equal(sasl("SCRAM-SHA-256", text), undefined, text);
    for (const text of ["bob\0app\0x", "\0app", "\0app\0x\0y", "\xff\0\xff\0x"])
      assert.equal(sasl("PLAIN", text), undefined);
    assert.equal(sasl("GSSAPI", "n,,n=app,r=abc"), undefined);
    assert.equal(claim("authenticate", { authenticate: 1, mechanism: "MONGODB-X509" }), null);
    assert.equal(claim("authenticate", { authenticate: 1, mechanism: "MONGODB-X509", user: "app" }), "app");
    assert.equal(claim("authenticate", { authenticate: 1, mechanism: "MONGODB-X509", user: 1 }), undefined);
  });

  it("is nothing where it is said twice", () => {
    const twice = Buffer.from(BSON.serialize({ authenticate: 1, user: "app", usex: "bob" }));
    twice.write("user", twice.indexOf("usex"));
    assert.equal(readClaim("authenticate", readDocument(twice) ?? []).user, undefined);
  });
});

describe("a server's answers, followed", () => {
  const body = fc.record({
    text: fc.string({ maxLength: 600 }),
    ok: fc.constantFrom(0, 1),
    n: fc.integer(),
    codeName: fc.constantFrom("Unauthorized", "NotFound"),
    writeErrors: fc.array(fc.record({ code: fc.integer(), errmsg: fc.string({ maxLength: 200 }) }), {
      maxLength: 3,
    }),
  });

  it("end where they end, and say what became of what was asked, however they are cut", () => {
    fc.assert(
      fc.property(fc.array(body, { maxLength: 6 }), sizes, (bodies, cuts) => {
        const messages = bodies.map((one, i) => {
          const answer = message(1000 + i, one);
          answer.writeInt32LE(i, 8);
          return answer;
        });
        const replied: Replied[] = [];
        const reader = new ReplyReader((one) => replied.push(one));
        const boundaries = new Boundaries();
        const between = new Set([0]);
        let length = 0;
        for (const one of messages) {
          length += one.length;
          between.add(length);
        }
        length = 0;
        for (const piece of pieces(Buffer.concat(messages), cuts)) {
          reader.push(piece);
          const place = boundaries.push(piece);
          if (place !== null) assert.ok(between.has(length + place));
          length += piece.length;
          assert.equal(boundaries.between, between.has(length));
        }
        assert.equal(boundaries.between, true);
        assert.deepEqual(
          replied.map(({ responseTo, fields }) => [responseTo, [...fields.keys()].sort()]),
          bodies.map((_, i) => [i, ["codeName", "n", "ok", "writeErrors"]]),
        );
      }),
      { numRuns: share(500) },
    );
  });

  it("that are none are noticed", () => {
    for (const length of [0, 15, -1]) {
      const bytes = message(1, { ok: 1 });
      bytes.writeInt32LE(length, 0);
      assert.throws(() => new ReplyReader(() => {}).push(bytes), RangeError);
      assert.throws(() => new Boundaries().push(bytes), RangeError);
    }
    for (const at of [25, 30]) {
      const bytes = message(1, { text: "x", ok: 1 });
      bytes[at] = at === 25 ? 0x55 : 0;
      bytes.writeInt32LE(at === 25 ? 0 : 100_000, 31);
      assert.throws(() => new ReplyReader(() => {}).push(bytes), RangeError);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), sizes, (bytes, cuts) => {
        try {
          const reader = new ReplyReader(() => {});
          for (const piece of pieces(bytes, cuts)) reader.push(piece);
        } catch (error) {
          assert.ok(error instanceof RangeError);
        }
      }),
      { numRuns: share(3000) },
    );
  });
});
