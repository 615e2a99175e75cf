import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { version } from "../../src/version.ts";
import { cycles, links, loadedWith, rules } from "./rules.ts";
import { parseSource } from "./source.ts";

function files(folder: string, ending: RegExp): readonly string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return entry.name === "node_modules" ? [] : files(path, ending);
    return ending.test(entry.name) ? [path] : [];
  });
}

const sources = ["src", "routes", "test"]
  .flatMap((folder) => files(folder, /\.(?:tsx?|cjs)$/))
  .map((path) => parseSource(path, readFileSync(path, "utf8")));
const manifest = JSON.parse(readFileSync("package.json", "utf8")) as {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
};
const dependencies = Object.keys(manifest.dependencies);

describe("the house rules", () => {
  for (const rule of rules(dependencies)) {
    it(rule.name, () => {
      assert.deepEqual(
        sources.flatMap((source) => rule.check(source)),
        [],
      );
    });
  }

  it("no file imports itself by way of others", () => {
    assert.deepEqual(cycles(sources), []);
  });

  it("a router starts without what its configuration may not ask for", () => {
    const entries = [
      "src/cli/check.ts",
      "src/cli/serve.ts",
      "src/cli/worker.ts",
      "src/server.ts",
      "src/self-test/self-test.ts",
    ];
    const loaded = loadedWith(entries, sources);
    assert.ok(loaded.has("src/core/router.ts") && loaded.has("zod"));
    const byNeed = ["@peculiar/x509", "jose", "openid-client", "acme-client", "@redis/client", "yaml"];
    assert.deepEqual(
      byNeed.filter((name) => loaded.has(name)),
      [],
    );
    assert.deepEqual(
      [...loaded].filter((name) => name.startsWith("@opentelemetry/")),
      [],
    );
  });

  it("every dependency is pinned and explained", () => {
    const pages = readFileSync("docs/dependencies.md", "utf8");
    for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
      assert.match(version, /^\d+\.\d+\.\d+$/, `${name} is pinned`);
      assert.ok(pages.includes(`\`${name}\``), `docs/dependencies.md explains ${name}`);
    }
  });

  it("the pages that a visitor looks for are there", () => {
    for (const path of [
      "README.md",
      "CHANGELOG.md",
      "CONTRIBUTING.md",
      "LICENSE",
      "SECURITY.md",
      "docs/architecture.md",
      "docs/configuration.md",
      "docs/dependencies.md",
    ]) {
      assert.ok(existsSync(path), path);
    }
  });

  it("the program and its package have one version", () => {
    assert.equal(version, manifest.version);
  });

  it("the change log has an entry for this version", () => {
    const changes = readFileSync("CHANGELOG.md", "utf8");
    assert.ok(changes.includes(`## ${manifest.version}`) || changes.includes(`## [${manifest.version}]`));
  });

  it("links between pages lead somewhere", () => {
    const pages = [...readdirSync(".").filter((name) => name.endsWith(".md")), ...files("docs", /\.md$/)];
    const dead = pages.flatMap((page) =>
      links(page, readFileSync(page, "utf8"))
        .filter((target) => !existsSync(target))
        .map((target) => `${page}: ${target}`),
    );
    assert.deepEqual(dead, []);
  });
});
