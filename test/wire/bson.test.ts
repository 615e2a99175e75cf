import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { BSON } from "mongodb";
import {
  bytesOf,
  documentOf,
  type Element,
  numberOf,
  readDocument,
  textOf,
  type Value,
  writeDocument,
} from "../../src/wire/bson.ts";
import { share } from "../support/fuzz.ts";

const everything = {
  double: 1.5,
  text: "grün",
  empty: "",
  document: { a: { b: [1, { c: "d" }] } },
  array: [1, "two", null],
  binary: new BSON.Binary(Buffer.from([1, 2, 3])),
  id: new BSON.ObjectId(),
  yes: true,
  date: new Date(0),
  nothing: null,
  regex: new BSON.BSONRegExp("a.b", "i"),
  pointer: new BSON.DBRef("a", new BSON.ObjectId()),
  code: new BSON.Code("x"),
  scoped: new BSON.Code("x", { y: 1 }),
  symbol: new BSON.BSONSymbol("s"),
  int: new BSON.Int32(-7),
  stamp: new BSON.Timestamp({ t: 1, i: 2 }),
  long: BSON.Long.fromNumber(2 ** 40),
  decimal: BSON.Decimal128.fromString("1.5"),
  least: new BSON.MinKey(),
  most: new BSON.MaxKey(),
};
const serialized = BSON.serialize(everything);

const read = (bytes: Uint8Array): readonly Element[] => {
  const elements = readDocument(bytes);
  assert.ok(elements !== null);
  return elements;
};
const find = (elements: readonly Element[], name: string): Element | undefined =>
  elements.find((one) => one.name === name);

describe("documents of MongoDB's own library", () => {
  it("are read element by element, whatever their types", () => {
    const elements = read(serialized);
    assert.deepEqual(
      elements.map(({ name }) => name),
      Object.keys(everything),
    );
    assert.deepEqual(documentOf(elements.map(({ whole }) => whole)), new Uint8Array(serialized));
    assert.equal(textOf(find(elements, "text")), "grün");
    assert.equal(textOf(find(elements, "int")), null);
    assert.deepEqual([...(bytesOf(find(elements, "binary")) ?? [])], [1, 2, 3]);
    assert.deepEqual(
      ["double", "int", "long", "yes", "text"].map((name) => numberOf(find(elements, name))),
      [1.5, -7, 2 ** 40, 1, null],
    );
  });

  it("are the same in pieces as BSON's own reader has them", () => {
    const value = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 3 },
        fc.string(),
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie("value"), { maxLength: 3 }),
        fc.dictionary(fc.stringMatching(/^[a-z$]{1,8}$/), tie("value"), { maxKeys: 3 }),
      ),
    })).value;
    fc.assert(
      fc.property(fc.dictionary(fc.stringMatching(/^[a-z$]{1,8}$/), value, { maxKeys: 6 }), (document) => {
        const bytes = BSON.serialize(document);
        for (const { name, whole } of read(bytes))
          assert.deepEqual(BSON.deserialize(documentOf([whole])), { [name]: BSON.deserialize(bytes)[name] });
      }),
    );
  });

  it("that are cut or changed are none, or stay within themselves", () => {
    for (let cut = 0; cut < serialized.length; cut++)
      assert.equal(readDocument(serialized.subarray(0, cut)), null);
    fc.assert(
      fc.property(fc.nat(serialized.length - 1), fc.nat(255), (at, byte) => {
        const changed = Uint8Array.from(serialized);
        changed[at] = byte;
        for (const element of readDocument(changed) ?? []) {
          textOf(element);
          numberOf(element);
          assert.ok(bytesOf(element) === null || element.value.length >= 4);
        }
      }),
      { numRuns: share(20_000) },
    );
  });
});

describe("documents of ours", () => {
  it("are what MongoDB's own library reads", () => {
    const document: { readonly [name: string]: Value } = {
      ok: 1,
      below: -1,
      text: "grün",
      no: false,
      bytes: Uint8Array.of(0, 255),
      inside: { a: "b", empty: {} },
    };
    assert.deepEqual(BSON.deserialize(writeDocument(document), { promoteBuffers: true }), {
      ...document,
      bytes: Buffer.from([0, 255]),
    });
  });
});
