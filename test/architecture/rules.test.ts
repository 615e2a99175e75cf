import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cycles, links, loadedWith, rules } from "./rules.ts";
import { parseSource } from "./source.ts";

/** The names of the rules that a made-up file breaks. */
const broken = (path: string, text: string): readonly string[] =>
  rules(["hono", "zod", "@peculiar/x509"])
    .filter((rule) => rule.check(parseSource(path, text)).length > 0)
    .map(({ name }) => name.split(" ").slice(0, 2).join(" "));

describe("the parser of sources", () => {
  it("finds every form of import, and resolves the relative ones", () => {
    const { imports } = parseSource(
      "src/core/a.ts",
      `import a from "node:fs";
import type { B } from "../types.ts";
import "./side.ts";
export * from '../wire/c.ts';
export { d } from "zod";
import {
  e,
  f,
} from "./e.ts";
const g = await import("./g.ts");`,
    );
    assert.deepEqual(imports, [
      "node:fs",
      "src/types.ts",
      "src/core/side.ts",
      "src/wire/c.ts",
      "zod",
      "src/core/e.ts",
      "src/core/g.ts",
    ]);
  });

  it("is not led astray by comments, strings, templates and regular expressions", () => {
    const { imports, code } = parseSource(
      "src/a.ts",
      [
        '// import x from "comment";',
        '/* import x from "block"; */',
        "const s = 'import x from \"string\"';",
        `const t = \`console \${inner({ a: "b" })} Deno \${\`process\`}\`;`,
        "const r = /[\"'`]console/.test(s) && 4 / 2 > 1 / 3;",
        'import y from "real";',
      ].join("\n"),
    );
    assert.deepEqual(imports, ["real"]);
    assert.match(code, /inner/);
    assert.doesNotMatch(code, /console|Deno|process/);
  });

  it("survives an apostrophe in JSX", () => {
    const { imports } = parseSource("routes/a.tsx", `const a = <p>Don't</p>;\nimport b from "hono";`);
    assert.deepEqual(imports, ["hono"]);
  });
});

describe("each rule finds a breach", () => {
  const breaches: readonly (readonly [string, string, readonly string[]])[] = [
    ["src/wire/a.ts", 'import { x } from "../types.ts";', ["parsers import"]],
    ["src/adapters/x/wire.ts", 'import { x } from "./options.ts";', ["parsers import"]],
    ["src/wire/a.ts", "export const a = async () => 1;", ["parsers are"]],
    ["src/wire/a.ts", "const now = Date.now();", ["parsers are"]],
    ["src/wire/a.ts", "const now = new Date();", ["parsers are"]],
    ["src/wire/a.ts", "const b = Buffer.alloc(1);", ["parsers are"]],
    ["src/wire/a.ts", "setTimeout(f, 1);", ["parsers are"]],
    ["src/core/a.ts", 'import { x } from "../adapters/relay.ts";', ["the core"]],
    ["src/core/a.ts", 'import type { x } from "../runtime/node.ts";', ["the core"]],
    ["src/core/a.ts", 'import { z } from "zod";', ["the core"]],
    ["src/core/a.ts", 'import { x } from "hono/cookie";', ["the core"]],
    ["src/adapters/a/index.ts", 'import { x } from "../b/index.ts";', ["an adapter"]],
    ["src/adapters/a/index.ts", 'import { x } from "../../runtime/node.ts";', ["an adapter"]],
    ["src/identity/a.ts", 'import { x } from "../config/pem.ts";', ["identities are"]],
    ["src/enrolment/a.ts", 'import { x } from "../runtime/files.ts";', ["certificates are"]],
    ["src/state/a.ts", 'import { x } from "../config/load.ts";', ["what routers"]],
    ["src/acme/a.ts", 'import { x } from "../runtime/files.ts";', ["certificates are"]],
    ["src/status/a.ts", 'import { x } from "../config/load.ts";', ["the status"]],
    ["src/server.ts", 'import { x } from "./cli/serve.ts";', ["nothing but"]],
    ["src/server.ts", 'import fs from "node:fs";', ["node: modules"]],
    ["src/server.ts", 'const fs = await import("node:fs");', ["node: modules"]],
    ["src/server.ts", "Deno.exit();", ["the globals"]],
    ["routes/a.ts", 'import { x } from "../src/runtime/node.ts";', ["the web"]],
    ["src/config/a.ts", "const e = process.env.HOME;", ["the environment"]],
    ["src/core/a.ts", "console.log(1);", ["only commands"]],
    ["src/core/a.ts", "process.stderr.write(x);", ["standard output"]],
    ["src/a.ts", 'import x from "left-pad";', ["what is"]],
    ["src/a.ts", 'import x from "@peculiar/asn1";', ["what is"]],
    ["src/a.ts", 'import x from "../test/support/run.ts";', ["what is", "tests are"]],
    ["src/a.ts", 'import x from "./b";', ["everything names"]],
    ["src/camelCase.ts", "", ["file names"]],
    ["src/utils.ts", "", ["file names"]],
    ["src/core/test-helpers.ts", "", ["file names"]],
    ["src/a.ts", "\n".repeat(401), ["no file"]],
    ["src/a.ts", "// TODO later", ["nothing is"]],
    ["test/a.ts", "// @ts-ignore", ["nothing is"]],
    ["test/a.test.ts", "it.only('x', f);", ["tests are"]],
    ["test/a.test.ts", "it('x', (t) => { t.skip('why'); });", ["tests are"]],
  ];
  for (const [path, text, expected] of breaches) {
    it(`${path}: ${text.trim() === "" ? `${text.length} lines` : text}`, () => {
      assert.deepEqual(broken(path, text), expected);
    });
  }

  it("and nothing in sources that keep them", () => {
    assert.deepEqual(
      broken("src/wire/a.ts", 'import { Cursor } from "./cursor.ts"; // no Date.now here'),
      [],
    );
    assert.deepEqual(broken("src/wire/a.ts", "const time = new Date(Date.UTC(2050, 1));"), []);
    assert.deepEqual(broken("src/adapters/a/index.ts", 'import { x } from "./wire.ts";'), []);
    assert.deepEqual(broken("src/adapters/registry.ts", 'import { x } from "./a/index.ts";'), []);
    assert.deepEqual(broken("src/runtime/node.ts", 'import net from "node:net";'), []);
    assert.deepEqual(broken("src/cli/a.ts", "console.log(process.env.HOME);"), []);
    assert.deepEqual(broken("routes/a.tsx", 'import { Hono } from "hono";'), []);
    assert.deepEqual(broken("test/core/a.test.ts", 'it("x", { skip: "why" }, () => {});'), []);
  });

  it("import cycles, however long", () => {
    const sources = [
      parseSource("src/a.ts", 'import "./b.ts";'),
      parseSource("src/b.ts", 'import "./c.ts";'),
      parseSource("src/c.ts", 'import "./a.ts";'),
      parseSource("src/d.ts", 'import "./a.ts";'),
    ];
    assert.deepEqual(cycles(sources), ["src/a.ts -> src/b.ts -> src/c.ts -> src/a.ts"]);
    assert.deepEqual(cycles(sources.slice(1)), []);
    const typed = parseSource("src/e.ts", 'import type { F } from "./f.ts";\nimport "./a.ts";');
    assert.deepEqual(typed.loads, ["src/a.ts"]);
  });

  it("what is loaded at once, by way of others, and not what is asked for later", () => {
    const sources = [
      parseSource("src/a.ts", 'import "./b.ts";\nconst c = await import("./c.ts");'),
      parseSource("src/b.ts", 'import { d } from "d";\nimport type { E } from "./e.ts";'),
      parseSource("src/c.ts", 'import "f";'),
    ];
    assert.deepEqual([...loadedWith(["src/a.ts"], sources)], ["src/a.ts", "src/b.ts", "d"]);
  });

  it("links to follow, but not those in code or to elsewhere", () => {
    const text = "[a](b.md#part) [c](../LICENSE) `[d](e.md)` [f](https://example.com)\n```\n[g](h.md)\n```\n";
    assert.deepEqual(links("docs/a.md", text), ["docs/b.md", "LICENSE"]);
  });
});
