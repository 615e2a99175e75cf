import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { schemes } from "../../src/adapters/registry.ts";
import { loadConfig } from "../../src/config/load.ts";
import { parameters } from "../../src/config/parameters.ts";
import { withTables } from "../../src/config/reference.ts";
import { variables } from "../../src/config/variables.ts";
import { ca, folder, server } from "../support/environment.ts";

const path = "docs/configuration.md";
if (process.env.UPDATE_DOCS === "1") writeFileSync(path, withTables(readFileSync(path, "utf8"), schemes));
const document = readFileSync(path, "utf8");

describe("docs/configuration.md", () => {
  it("has the tables that the program makes (UPDATE_DOCS=1 makes them anew)", () =>
    assert.equal(document, withTables(document, schemes)));

  it("lists every variable, parameter and scheme in a table", () => {
    const names = [
      ...Object.keys(variables),
      ...Object.keys(parameters),
      ...schemes.map(({ scheme }) => scheme),
    ];
    for (const name of names) assert.ok(document.includes(`\n| \`${name}\` |`), name);
  });

  it("knows no other marker", () =>
    assert.throws(() => withTables("<!-- table: nonsense -->\n<!-- end -->", schemes), /no table nonsense/));

  const examples = [...document.matchAll(/```sh\n(SALLYPORT_[\s\S]*?)```/g)].map(([, text = ""]) => text);
  it("has examples", () => assert.ok(examples.length >= 6));

  // Whatever path an example names holds what its ending promises.
  const disk = {
    ...folder({}),
    read: (name: string) => (name.endsWith(".key") ? server.key : name.endsWith("ca.crt") ? ca : server.cert),
    list: () => ["example.crt", "example.key"],
  };
  for (const example of examples) {
    const lines = example.trimEnd().split("\n");
    it(`has an example that starts: ${lines.at(-1)?.slice(0, 60)}`, () => {
      const env: Record<string, string> = {};
      for (const line of lines) {
        const [, name, quoted, bare] = /^(SALLYPORT_\w+)=(?:"([^"]*)"|(\S+))$/.exec(line) ?? [];
        assert.ok(name !== undefined, line);
        env[name] = quoted ?? bare ?? "";
      }
      assert.ok(loadConfig(env, schemes, disk).table.routes.length > 0);
    });
  }
});
