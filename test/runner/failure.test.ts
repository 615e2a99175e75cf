import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { gist } from "./failure.ts";

const node = `
[Error [ERR_TEST_FAILURE]: the values differ
+ actual - expected
] {
  code: 'ERR_TEST_FAILURE',
  failureType: 'testCodeFailure',
  cause: AssertionError [ERR_ASSERTION]: the values differ
  + actual - expected
  
    {
  +   a: 1
  -   a: 2
    }
      at TestContext.<anonymous> (file:///a/b.test.js:4:29)
      at Test.runInAsyncScope (node:async_hooks:206:9)
      at async Test.run (node:internal/test_runner/test:796:25)
      at Array.map (<anonymous>) {
    generatedMessage: true,
    [cause]: Error: deep
        at TestContext.<anonymous> (file:///a/b.test.js:7:152)
  }
}
			`;

const deno = `AssertionError: the values differ
+ actual - expected

  {
+   a: 1
-   a: 2
  }

  it("differs", () => assert.deepEqual(a, b));
                            ^
    at NodeTestContext.<anonymous> (file:///a/b.test.ts:4:29)
    at listOnTimeout (ext:core/02_timers.js:307:17)
Caused by: Error: deep
    at NodeTestContext.<anonymous> (file:///a/b.test.ts:7:152)`;

const bun = `AssertionError: the values differ
+ actual - expected

  {
+   a: 1
-   a: 2
  }

      at b.test.ts:4:29
      at run (node:async_hooks:144:29)
      at node:test:1445:26
      at executeTestNode (node:test:1448:45)

Error: deep
      at b.test.ts:7:156
`;

describe("the gist of a failure", () => {
  for (const [name, text] of Object.entries({ node, deno, bun })) {
    it(`has the message, the difference, the spec's line and the cause, as ${name} writes them`, () => {
      const lines = gist(text).map((line) => line.trim());
      for (const part of [
        /the values differ$/,
        /^\+ {3}a: 1$/,
        /^- {3}a: 2$/,
        /b\.test\.[jt]s:4:29/,
        /Error: deep/,
      ])
        assert.equal(lines.filter((line) => part.test(line)).length, 1, `${part} in ${lines.join("\n")}`);
      assert.equal(
        lines.some((line) => /(?:node|ext):/.test(line)),
        false,
      );
    });
  }

  it("is that of an error which is a mere text", () => {
    const text =
      "[Error [ERR_TEST_FAILURE]: test timed out after 100ms] { code: 'ERR_TEST_FAILURE', failureType: 'testTimeoutFailure', cause: 'test timed out after 100ms' }";
    assert.deepEqual(gist(text), ["'test timed out after 100ms'"]);
  });

  it("has what differs of a long difference, and no more than fits", () => {
    const same = Array.from({ length: 40 }, (_, i) => `    ${i}`);
    const few = gist(
      ["Error: the values differ", "+ actual - expected", ...same, "+   x", "-   y"].join("\n"),
    );
    assert.deepEqual(few, ["Error: the values differ", "+ actual - expected", "+   x", "-   y", "…"]);
    const many = gist(
      [
        "Error: the values differ",
        ...same.map((line) => `+${line}${"z".repeat(500)}`),
        "    at a.ts:1:1",
      ].join("\n"),
    );
    assert.ok(many.length <= 15 && many.every((line) => line.length <= 201));
    assert.equal(many.at(-1), "    at a.ts:1:1");
  });

  it("is nothing where a report says nothing", () => {
    assert.deepEqual(gist(""), []);
  });
});
