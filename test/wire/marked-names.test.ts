import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readDocument, textOf, writeDocument } from "../../src/wire/bson.ts";
import { text } from "../../src/wire/mysql/reader.ts";
import { argumentText } from "../../src/wire/redis.ts";

const marked = "\ufeffshop";
const bytes = new TextEncoder().encode(marked);

describe("a name with a byte order mark, which is another name to the server", () => {
  it("stays another one", () => {
    assert.equal(argumentText(bytes), marked);
    assert.equal(text(bytes), marked);
    assert.equal(textOf(readDocument(writeDocument({ $db: marked }))?.[0]), marked);
  });
});
