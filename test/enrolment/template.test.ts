import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { fillIn, parseTemplate, UnfitClaim } from "../../src/enrolment/template.ts";

describe("a template", () => {
  it("is read or refused, whatever it is", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const read = parseTemplate(text);
        return "problem" in read || read.text === text;
      }),
    );
  });

  it("makes text of any claims, or says why not", () => {
    const template = parseTemplate("a{x}b{+y}");
    assert.ok("parts" in template);
    const values = fc.dictionary(fc.constantFrom("x", "y", "z"), fc.jsonValue());
    fc.assert(
      fc.property(values, fc.boolean(), (claims, uri) => {
        try {
          return fillIn(template, claims, uri).every((text) => text.startsWith("a"));
        } catch (error) {
          return error instanceof UnfitClaim;
        }
      }),
    );
  });

  it("lets no value of a claim out of its segment of a URI", () => {
    const template = parseTemplate("spiffe://example.com/user/{x}/end");
    assert.ok("parts" in template);
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom("a", "/", ".", "%", "?", "#", "@", ":", "\\") }), (x) => {
        try {
          const [uri = ""] = fillIn(template, { x }, true);
          const { pathname, hash, search } = new URL(uri);
          return (
            pathname.split("/").length === 4 && hash === "" && search === "" && pathname.startsWith("/user/")
          );
        } catch (error) {
          return error instanceof UnfitClaim;
        }
      }),
    );
  });
});
