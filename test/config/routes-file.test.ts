import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { folder, load, problems, type Variables } from "../support/environment.ts";

const at = "/etc/sallyport/routes";
const variables: Variables = { SALLYPORT_ROUTES_FILE: at };
const url = (sni: string): string => `tcp://10.0.0.1:1?sni=${sni}.example.com`;
const told = (text: string, more: Variables = {}): readonly string[] =>
  problems({ ...variables, ...more }, folder({ [at]: text })).map(
    ({ name, message }) => `${name}: ${message}`,
  );

describe("a routes file", () => {
  it("is as docs/operating.md shows it", () => {
    const [, example = ""] =
      /```\n(# NAME=URL[\s\S]*?)```/.exec(readFileSync("docs/operating.md", "utf8")) ?? [];
    const { table } = load({ ...variables, ORDERS_PASSWORD: "p" }, folder({ [at]: example }));
    assert.deepEqual(
      table.routes.map(({ name }) => name).filter((name) => !name.startsWith("sallyport")),
      ["orders", "web"],
    );
  });

  it("has a route a line, beside those of the environment, from which values are filled in", () => {
    const text = `\uFEFF# ours\r\n\r\n  ORDERS_DB = ${url("a")}&allow=cn:$\{WHO}\r\n#B=nonsense\nC=${url("c")}`;
    const { table } = load(
      { ...variables, WHO: "alice", SALLYPORT_ROUTE_D: url("d") },
      folder({ [at]: text }),
    );
    assert.deepEqual(
      table.routes.filter(({ scheme }) => scheme === "tcp").map(({ name, variable }) => [name, variable]),
      [
        ["d", "SALLYPORT_ROUTE_D"],
        ["orders-db", "SALLYPORT_ROUTES_FILE ORDERS_DB"],
        ["c", "SALLYPORT_ROUTES_FILE C"],
      ],
    );
    assert.deepEqual(
      table.routes.find(({ name }) => name === "orders-db")?.allow.map((rule) => rule.text),
      ["cn:alice"],
    );
  });

  it("may be empty, and must be there", () => {
    assert.deepEqual(told(""), []);
    assert.match(
      problems(variables)
        .map(({ name, message }) => `${name}: ${message}`)
        .join("\n"),
      /^SALLYPORT_ROUTES_FILE: can't be read \(no such file\): expected the path of a file/,
    );
  });

  it("is told apart from an environment file, line by line", () => {
    const [first, second, third, ...more] = told(`SALLYPORT_ROUTE_A=${url("a")}\nb=${url("b")}\nnothing`);
    assert.match(first ?? "", /^SALLYPORT_ROUTES_FILE line 1: .*without SALLYPORT_ROUTE_/);
    assert.match(second ?? "", /^SALLYPORT_ROUTES_FILE line 2: expected NAME=URL/);
    assert.match(third ?? "", /^SALLYPORT_ROUTES_FILE line 3: expected NAME=URL/);
    assert.deepEqual(more, []);
  });

  it("has no route twice, nor one that the environment has", () => {
    assert.match(told(`A=${url("a")}\nA=${url("b")}`).join(), /line 2: the route A stands here twice/);
    assert.match(
      told(`A=${url("a")}`, { SALLYPORT_ROUTE_A: url("b") }).join(),
      /line 1: the route A is in the environment too, as SALLYPORT_ROUTE_A/,
    );
  });

  it("is held to the rules of all routes, and named where it breaks one", () => {
    assert.match(
      told(`A=${url("a")}\nB=${url("a")}`).join(),
      /^SALLYPORT_ROUTES_FILE B: conflicts with SALLYPORT_ROUTES_FILE A/,
    );
    assert.match(told("A=tcp://app:hidden@10.0.0.1").join(), /^SALLYPORT_ROUTES_FILE A: /);
    assert.doesNotMatch(told("A=tcp://app:hidden@10.0.0.1").join(), /hidden/);
  });
});
