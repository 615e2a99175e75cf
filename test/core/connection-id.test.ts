import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { connectionId } from "../../src/core/connection-id.ts";

describe("the id of a connection", () => {
  it("is a random UUID (RFC 9562 §5.4): version 4, and the variant of that document", () => {
    for (let i = 0; i < 5000; i++)
      assert.match(connectionId(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it("is never the same, also where random bytes are fetched anew", () => {
    const ids = new Set(Array.from({ length: 5000 }, connectionId));
    assert.equal(ids.size, 5000);
  });

  it("leaves no digit to what was there before", () => {
    const ids = Array.from({ length: 2000 }, () => connectionId().replaceAll("-", ""));
    for (let at = 0; at < 32; at++) {
      const found = new Set(ids.map((id) => id.charAt(at)));
      assert.equal(found.size, at === 12 ? 1 : at === 16 ? 4 : 16, `digit ${at}`);
    }
  });
});
