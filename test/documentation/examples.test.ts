import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { edgeConfig } from "../../src/edge/config.ts";
import { readArguments } from "../bench/arguments.ts";
import { worker } from "../support/edge.ts";

const block = (page: string, beginning: string): readonly string[] => {
  const text = readFileSync(`docs/${page}`, "utf8");
  const found = [...text.matchAll(/^```\w*\n([\s\S]*?)^```/gm)].map(([, inside = ""]) => inside);
  const [first = ""] = found.filter((inside) => inside.startsWith(beginning));
  return first.trim().split("\n");
};

/** What a line of a shell is given, without what is said of it. */
const words = (line: string): readonly string[] =>
  line
    .replace(/ +#.*$/, "")
    .trim()
    .split(/ +/);

describe("docs/benchmark.md", () => {
  const lines = block("benchmark.md", "npm run bench");

  it("shows the benchmark", () => assert.ok(lines.length > 10));

  for (const line of lines) {
    const [npm, run, name = "", dashes, ...asked] = words(line);
    it(`${name} ${asked.join(" ")}`.trim(), () => {
      const { scripts } = JSON.parse(readFileSync("package.json", "utf8")) as {
        readonly scripts: Readonly<Record<string, string>>;
      };
      assert.deepEqual([npm, run, dashes ?? "--"], ["npm", "run", "--"]);
      assert.match(scripts[name] ?? "", /dist\/test\/bench\/main\.js$/);
      const { subjects, rounds } = readArguments(asked);
      assert.ok(subjects.length > 0 && rounds > 0);
    });
  }

  it("what there is not is refused", () => {
    assert.throws(() => readArguments(["--only", "htp"]), /there is no htp/);
    assert.throws(() => readArguments(["--subject", "nginx,node-flor"]), /there is no node-flor/);
    assert.throws(() => readArguments(["--round", "1"]), TypeError);
  });
});

describe("docs/edge.md", () => {
  it("has Cloudflare's tool run and deploy what wrangler.toml names", () => {
    assert.deepEqual(block("edge.md", "npx wrangler").map(words), [
      ["npx", "wrangler", "dev"],
      ["npx", "wrangler", "deploy"],
    ]);
    assert.ok(existsSync(worker.main), worker.main);
    assert.match(worker.compatibilityDate, /^\d{4}-\d\d-\d\d$/);
  });

  it("wrangler.toml's variables are a configuration", () => {
    const { table, originOf, sendProxy } = edgeConfig(worker.variables);
    const [own, orders] = table.routes;
    assert.ok(own !== undefined && orders !== undefined);
    assert.deepEqual(
      [own, orders].map((route) => [route.variable, originOf(route, {})]),
      [
        ["SALLYPORT_HOST", { hostname: "origin.example.com", port: 8443 }],
        ["SALLYPORT_ROUTE_ORDERS", { hostname: "origin.example.com", port: 8443 }],
      ],
    );
    assert.equal(sendProxy, false);
    assert.throws(() => edgeConfig({ ...worker.variables, SALLYPORT_ROUTER: "" }), /SALLYPORT_ROUTER/);
  });
});
