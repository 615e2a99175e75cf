import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Case, complete, readReport } from "./report.ts";

const node = `<?xml version="1.0" encoding="utf-8"?>
<testsuites>
	<testsuite name="a &lt;suite>" time="0.05" tests="6" hostname="vm">
		<testcase name="passes => well" time="0.000653" classname="test"/>
		<testcase name="is skipped &amp; &amp;quot;why&amp;quot;" classname="test">
			<skipped type="skipped" message="not installed: psql"/>
		</testcase>
		<testcase name="fails" classname="test" failure="1 !== 2">
			<failure type="testCodeFailure" message="1 !== 2">
said <testcase name="not one"/> and <skipped/>
			</failure>
		</testcase>
		<testsuite name="nested" tests="1"><testcase name="inner" classname="test"/></testsuite>
	</testsuite>
	<testcase name="whole" classname="test"><skipped type="skipped" message="no suite"/></testcase>
</testsuites>`;

const deno = `<testsuites name="deno test" tests="3">
    <testsuite name="./a.test.mjs" tests="2">
        <testcase name="a &lt;suite&gt;" classname="./a.test.mjs"><failure message="1 step failed">1 step failed.</failure></testcase>
        <testcase name="whole" classname="./a.test.mjs"><skipped/></testcase>
        <testcase name="hook" classname="./a.test.mjs"><failure message="boom">boom</failure></testcase>
    </testsuite>
    <testsuite name="ext:deno_node/testing.ts" tests="8">
        <testcase name="a &lt;suite&gt; &gt; passes =&gt; well" line="1"></testcase>
        <testcase name="a &lt;suite&gt; &gt; is skipped &amp; &quot;why&quot;" line="1"><skipped/></testcase>
        <testcase name="a &lt;suite&gt; &gt; fails" line="1"><failure message="1">1</failure></testcase>
        <testcase name="a &lt;suite&gt; &gt; nested" line="1"></testcase>
        <testcase name="a &lt;suite&gt; &gt; nested &gt; inner" line="1"></testcase>
    </testsuite>
</testsuites>`;

const bun = `<testsuites name="bun test" tests="3">
  <testsuite name="a.test.mjs" file="a.test.mjs" tests="3">
    <testsuite name="a &lt;suite&gt;" file="a.test.mjs" line="3">
      <testcase name="passes =&gt; well" classname="x" file="a.test.mjs" />
      <testcase name="is skipped &amp; &quot;why&quot;" classname="x"><skipped /></testcase>
      <testcase name="fails" classname="x"><failure type="AssertionError" message="1">1</failure></testcase>
      <testsuite name="nested" file="a.test.mjs"><testcase name="inner" file="a.test.mjs" /></testsuite>
    </testsuite>
  </testsuite>
</testsuites>`;

const inside = (cases: readonly Case[]): readonly string[] =>
  cases.filter(({ name }) => name.startsWith("a <suite>")).map(({ name, outcome }) => `${outcome} ${name}`);

describe("test reports", () => {
  it("read alike from Node, Deno and Bun", () => {
    const expected = [
      "passed a <suite> > passes => well",
      'skipped a <suite> > is skipped & "why"',
      "failed a <suite> > fails",
      "passed a <suite> > nested > inner",
    ];
    for (const report of [node, deno, bun]) assert.deepEqual(inside(readReport(report)), expected);
  });

  it("keep a suite that failed by itself, in a hook", () => {
    assert.deepEqual(
      readReport(deno).filter(({ name }) => name === "hook"),
      [{ name: "hook", outcome: "failed", reason: "", failure: "boom" }],
    );
  });

  it("keep what is said of a failure", () => {
    const said = (xml: string) => readReport(xml).map(({ failure }) => failure.trim());
    assert.deepEqual(said(node), ["", "", 'said <testcase name="not one"/> and <skipped/>', "", ""]);
    assert.deepEqual(said(deno), ["", "boom", "", "", "1", ""]);
    const lines = `<testcase name="a"><failure message="&#10;">1&#10;&lt;2&gt;</failure></testcase>`;
    assert.deepEqual(said(lines), ["1\n<2>"]);
  });

  it("lend each other the reasons of skips", () => {
    const completed = complete(new Map([deno, node].map((xml, i) => [String(i), readReport(xml)])));
    const skips = completed.get("0")?.filter(({ outcome }) => outcome === "skipped");
    assert.deepEqual(
      skips?.map(({ reason }) => reason),
      ["no suite", "not installed: psql"],
    );
  });

  it("count a skipped suite that a report leaves out", () => {
    const completed = complete(
      new Map([
        ["node", readReport(node)],
        ["bun", readReport(bun)],
      ]),
    );
    assert.deepEqual(completed.get("bun")?.at(-1), {
      name: "whole",
      outcome: "skipped",
      reason: "no suite",
      failure: "",
    });
  });

  it("fail a test that ran on one runtime and not on another", () => {
    const ran: Case = { name: "only here", outcome: "passed", reason: "", failure: "" };
    const completed = complete(
      new Map<string, readonly Case[]>([
        ["node", [ran]],
        ["bun", []],
      ]),
    );
    assert.deepEqual(completed.get("bun"), [
      { name: "only here", outcome: "failed", reason: "it did not run", failure: "" },
    ]);
    assert.deepEqual(completed.get("node"), [ran]);
  });

  it("name a test alike whatever a runtime does with control characters", () => {
    const named = (name: string) => readReport(`<testsuites><testcase name="${name}"/></testsuites>`);
    assert.deepEqual(named("a\u0080b"), named("a\\x80b"));
  });

  it("name nothing when there is no report", () => {
    assert.deepEqual(readReport(""), []);
  });
});
