import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { returnPath } from "../../src/sign-in/paths.ts";

describe("where a browser goes after signing in", () => {
  it("is where it was", () => {
    for (const path of ["/", "/a/b?c=d&e", "/a//b", "/?to=https://other.test/"])
      assert.equal(returnPath(path), path);
    assert.equal(returnPath("/\u00e4"), "/%E4");
  });

  it("is the front page where that is no path", () => {
    for (const text of [
      null,
      "",
      "a",
      "//other.test/",
      "/\\other.test/",
      "\\\\other.test",
      "/\t/other.test",
      "/\n/other.test",
      " /a",
      "https://other.test/",
      "javascript:alert(1)",
      "@other.test",
      ".other.test",
      `/${"a".repeat(1024)}`,
      "/.well-known/sallyport/sign-out",
    ])
      assert.equal(returnPath(text), "/", String(text));
  });

  it("never leaves this host, as browsers read it", () =>
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "binary" }),
          fc
            .array(fc.constantFrom("/", "\\", "a", ".", "@", ":", "%", "?", "#", "\t", "\n", " ", "\u00a0"))
            .map((all) => `/${all.join("")}`),
        ),
        (text) => {
          const path = returnPath(text);
          const url = new URL(`https://app.test${path}`);
          assert.equal(url.origin, "https://app.test");
          // Where somebody takes it for a relative address, too.
          assert.equal(new URL(path, "https://app.test/b").origin, "https://app.test");
          assert.match(path, /^[\x21-\x7e]+$/);
        },
      ),
    ));
});
