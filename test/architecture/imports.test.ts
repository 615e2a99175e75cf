import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { describe, it } from "node:test";

/** A source and what it says it needs. */
interface Source {
  readonly path: string;
  readonly text: string;
}

function sources(folder: string): Source[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return sources(path);
    return /\.tsx?$/.test(entry.name) ? [{ path, text: readFileSync(path, "utf8") }] : [];
  });
}

const importLine = /(?:^|\n)\s*(?:import|export)\s(?:[^"';]*?\sfrom\s)?"([^"]+)"|import\("([^"]+)"\)/g;
const typeOnly = /(?:^|\n)\s*import type\s/;

/** Module names as resolved from the root; packages and `node:` as they stand. */
function imports(source: Source): { target: string; typeOnly: boolean }[] {
  return [...source.text.matchAll(importLine)].map((found) => {
    const name = found[1] ?? found[2] ?? "";
    const target = name.startsWith(".") ? posix.join(posix.dirname(source.path), name) : name;
    return { target, typeOnly: typeOnly.test(found[0]) };
  });
}

const under = (path: string, ...folders: string[]): boolean =>
  folders.some((folder) => path.startsWith(`${folder}/`));
const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\/|(^|[^:])\/\/.*$/gm, "$1");

/** Every breach of the import rules in docs/architecture.md, in words. */
function breaches(source: Source): string[] {
  const { path } = source;
  const found: string[] = [];
  const code = withoutComments(source.text);
  const wire = under(path, "src/wire") || path.endsWith("/wire.ts");
  for (const { target, typeOnly: onlyTypes } of imports(source)) {
    const breach = (rule: string): void => void found.push(`${path} imports ${target}: ${rule}`);
    const node = target.startsWith("node:");
    if (wire && !under(target, "src/wire") && target !== "src/errors.ts")
      breach("parsers import parsers only");
    if (node && !under(path, "src/runtime", "src/cli") && path !== "src/main.ts")
      breach("node: belongs to runtime and cli");
    if (under(path, "src/core")) {
      if (
        under(target, "src/adapters", "src/runtime", "src/config", "src/cli") ||
        ["zod", "hono"].includes(target)
      )
        breach("the core gets these as arguments");
    }
    if (under(path, "src/adapters") && path !== "src/adapters/registry.ts") {
      const own = posix.dirname(path);
      if (under(target, "src/runtime", "src/cli")) breach("an adapter reaches the world through its session");
      if (under(target, "src/adapters") && posix.dirname(target) !== own)
        breach("adapters don't know each other");
    }
    if (under(path, "routes") && under(target, "src/runtime")) breach("routes import no runtime");
    if (under(path, "src/identity") && under(target, "src/runtime", "src/config", "src/adapters"))
      breach("identity knows none of these");
    if (
      under(path, "src") &&
      under(target, "src/cli") &&
      !under(path, "src/cli") &&
      path !== "src/main.ts" &&
      !onlyTypes
    )
      breach("nobody needs the command line");
  }
  if (
    wire &&
    /\b(async|await|Buffer|process|setTimeout|setInterval|Date\.now|new Date\(\)|console|crypto)\b/.test(code)
  )
    found.push(`${path}: a parser is pure`);
  if (!under(path, "src/runtime", "src/cli") && path !== "src/main.ts" && /\b(Deno|Bun)\./.test(code))
    found.push(`${path}: Deno and Bun belong to runtime`);
  if (!under(path, "src/cli") && path !== "src/main.ts" && /\bprocess\.env\b|Deno\.env/.test(code))
    found.push(`${path}: the environment is read in cli`);
  if (/\bconsole\./.test(code)) found.push(`${path}: what is said goes through the log`);
  if (source.text.split("\n").length > 401) found.push(`${path}: longer than 400 lines; one idea each`);
  if (!/^[a-z0-9]+(-[a-z0-9]+)*\.tsx?$/.test(posix.basename(path)))
    found.push(`${path}: file names are kebab-case`);
  if (/\/(utils?|helpers?|misc|common)\.tsx?$/.test(path)) found.push(`${path}: a name that says nothing`);
  return found;
}

describe("the house", () => {
  it("keeps its import rules", () => {
    const all = [...sources("src"), ...sources("routes")];
    assert.ok(all.length > 50);
    assert.deepEqual(all.flatMap(breaches), []);
  });

  const bad: [string, Source][] = [
    [
      "a parser that reads the clock",
      { path: "src/wire/x.ts", text: "export const now = () => Date.now();" },
    ],
    ["a parser that imports the core", { path: "src/wire/x.ts", text: 'import { a } from "../core/a.ts";' }],
    [
      "a core that imports an adapter",
      { path: "src/core/x.ts", text: 'import { a } from "../adapters/http/index.ts";' },
    ],
    ["a core that imports node:net", { path: "src/core/x.ts", text: 'import net from "node:net";' }],
    [
      "an adapter that imports another",
      { path: "src/adapters/a/index.ts", text: 'import { b } from "../b/index.ts";' },
    ],
    [
      "an adapter that imports a runtime",
      { path: "src/adapters/a/index.ts", text: 'import { b } from "../../runtime/node.ts";' },
    ],
    [
      "a route that imports a runtime",
      { path: "routes/x.ts", text: 'import { b } from "../src/runtime/node.ts";' },
    ],
    [
      "somebody who reads the environment",
      { path: "src/config/x.ts", text: "export const a = process.env.A;" },
    ],
    ["a name that says nothing", { path: "src/core/utils.ts", text: "" }],
  ];
  for (const [what, source] of bad) {
    it(`would notice ${what}`, () => assert.notDeepEqual(breaches(source), []));
  }

  it("has its papers", () => {
    for (const path of [
      "README.md",
      "LICENSE",
      "CHANGELOG.md",
      "SECURITY.md",
      "docs/architecture.md",
      "docs/dependencies.md",
      "docs/configuration.md",
    ]) {
      assert.ok(existsSync(path), path);
    }
  });

  it("says one version", async () => {
    const { version } = await import("../../src/version.ts");
    assert.equal(JSON.parse(readFileSync("package.json", "utf8")).version, version);
  });

  it("names every dependency in docs/dependencies.md", () => {
    const { dependencies, devDependencies } = JSON.parse(readFileSync("package.json", "utf8"));
    const text = readFileSync("docs/dependencies.md", "utf8");
    for (const name of Object.keys({ ...dependencies, ...devDependencies }))
      assert.ok(text.includes(`\`${name}\``), name);
  });
});
