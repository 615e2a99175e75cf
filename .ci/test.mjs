// `npm test`: format, lint, types, then every spec on every runtime, with one table at the end.
//   npm test -- [--only check,unit,e2e,soak] [--runtime node,node-newest,deno,bun] [--grep PATH]
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import {
  binary,
  biome,
  bun,
  compile,
  deno,
  installDependencies,
  installTestTools,
  root,
} from "./prepare.mjs";

const { values } = parseArgs({
  options: { only: { type: "string" }, runtime: { type: "string" }, grep: { type: "string" } },
});
const started = Date.now();
const wants = (list, name) => list === undefined || list.split(",").includes(name);

installDependencies();
installTestTools();

const runtimes = [
  { name: "node", command: process.execPath },
  { name: "node-newest", command: binary(".", "bin/node") },
  { name: "deno", command: deno() },
  { name: "bun", command: bun() },
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
if (all.length === 0) {
  console.error(`no spec's path contains ${JSON.stringify(values.grep)}`);
  process.exit(2);
}
const isUnit = (path) => !path.startsWith("test/e2e/") && !path.startsWith("test/soak/");
const unit = all.filter(isUnit);
const endToEnd = all.filter((path) => path.startsWith("test/e2e/"));
const soak = all.filter((path) => path.startsWith("test/soak/"));

// From the sources, and only to be had once they are compiled.
let readReport;
let complete;

/** `SALLYPORT_TEST_SOAK_MINUTES` makes the soak longer than the two minutes that it takes otherwise. */
const soakMs = Number(process.env.SALLYPORT_TEST_SOAK_MINUTES ?? 2) * 60_000;
const bounds = { unit: 450_000, e2e: 500_000, soak: soakMs + 180_000 };
/** Shorter pieces of work leave less waiting at the end. */
const endToEndParts = 5;
const rows = [];
const skips = [];
const failures = [];

const heading = (text) => console.log(`\n== ${text} (${((Date.now() - started) / 1000).toFixed(0)} s)`);

function check(name, passed) {
  rows.push({ stage: name, runtime: "", passed: passed ? 1 : 0, failed: passed ? 0 : 1, skipped: 0 });
  if (!passed) failures.push(name);
}

/** Prints and counts what each runtime's reports of a stage say. */
function count(stage, results) {
  const text = (report) => (existsSync(report) ? readFileSync(report, "utf8") : "");
  const byRuntime = new Map(present.map(({ name }) => [name, results.filter((one) => one.runtime === name)]));
  const reports = new Map(
    [...byRuntime].map(([name, parts]) => [
      name,
      parts.flatMap(({ report }) => [...readReport(text(report))]),
    ]),
  );
  const completed = complete(reports);
  for (const [runtime, parts] of byRuntime) {
    const status = parts.find((part) => part.status !== 0)?.status ?? 0;
    const cases = completed.get(runtime);
    const row = { stage, runtime, passed: 0, failed: 0, skipped: 0 };
    for (const { name, outcome, reason } of cases) {
      row[outcome]++;
      if (outcome === "failed") {
        failures.push(`${stage} on ${runtime}: ${name}${reason === "" ? "" : `: ${reason}`}`);
      }
      if (outcome === "skipped")
        skips.push(`${stage} on ${runtime}: ${name}: ${reason || "no reason given"}`);
    }
    // Failures outside of any test: a file that did not load, a hook, the time bound.
    if ((status !== 0 && row.failed === 0) || row.passed + row.failed === 0) {
      row.failed++;
      failures.push(`${stage} on ${runtime}: ended with ${status}, ${row.passed} passed`);
    }
    rows.push(row);
  }
}

function run(stage, runtime, command, args, report, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, NO_COLOR: "1", ...env },
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
      console.log(
        `  ${stage} on ${runtime}: ${status === 0 ? "ok" : "FAILED"} (${((Date.now() - started) / 1000).toFixed(0)} s)`,
      );
      resolve({ runtime, status, report });
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
  return run(
    "unit",
    name,
    command,
    ["--test", "--test-timeout=120000", ...reporters, ...unit.map(compiled)],
    report,
  );
}

const endToEndOn = (runtime, part) =>
  drivenOn(
    "e2e",
    runtime,
    join(reports, `e2e-${runtime.name}-${part}.xml`),
    endToEnd.filter((_, i) => i % endToEndParts === part),
  );

const soakOn = (runtime) => drivenOn("soak", runtime, join(reports, `soak-${runtime.name}.xml`), soak);

/** The driver is always the Node that runs this; what it drives is the runtime under test. */
function drivenOn(stage, { name, command }, report, files) {
  const reporters = [
    "--test-reporter=spec",
    "--test-reporter-destination=stderr",
    "--test-reporter=junit",
    `--test-reporter-destination=${report}`,
  ];
  return run(
    stage,
    name,
    process.execPath,
    [
      "--test",
      "--test-concurrency=1",
      `--test-timeout=${bounds[stage]}`,
      ...reporters,
      ...files.map(compiled),
    ],
    report,
    {
      SALLYPORT_TEST_RUNTIME: name,
      SALLYPORT_TEST_COMMAND: command,
      SALLYPORT_TEST_OTHERS: JSON.stringify(present.map((one) => ({ name: one.name, command: one.command }))),
    },
  );
}

/**
 * Four at a time: end-to-end specs wait for their programs most of the time, and unit specs fill the gaps. More only
 * makes them wait for each other on a small machine.
 */
async function runSpecs(stages) {
  heading("specs");
  const queue = present.flatMap((runtime) =>
    stages.flatMap(({ stage, parts, start }) =>
      Array.from({ length: parts }, (_, part) => ({ stage, run: () => start(runtime, part) })),
    ),
  );
  const results = new Map([...stages.map(({ stage }) => [stage, []]), ["soak", []]]);
  if (soak.length === 0 || !wants(values.only, "soak")) results.delete("soak");
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift())
      results.get(next.stage).push(await next.run());
  };
  // Little work for long: beside everything else.
  const soaking = results.has("soak") ? present.map(soakOn) : [];
  await Promise.all([worker(), worker(), worker(), worker()]);
  results.get("soak")?.push(...(await Promise.all(soaking)));
  for (const [stage, found] of results) count(stage, found);
}

if (wants(values.only, "check")) {
  heading("format and lint");
  const colours = process.stdout.isTTY ? [] : ["--colors=off"];
  const args = [biome, "ci", "--error-on-warnings", ...colours, "."];
  check("format and lint", spawnSync(process.execPath, args, { cwd: root, stdio: "inherit" }).status === 0);
}
heading("types");
const typesFit = compile();
check("types", typesFit);
const present = runtimes.filter(({ command }) => command !== undefined);
for (const { name } of runtimes.filter(({ command }) => command === undefined)) {
  skips.push(`${name}: its package has no binary for ${process.platform}-${process.arch}`);
}
if (typesFit) {
  ({ readReport, complete } = await import("../dist/test/runner/report.js"));
  await runSpecs(
    [
      { stage: "e2e", start: endToEndOn, parts: Math.min(endToEndParts, endToEnd.length), specs: endToEnd },
      { stage: "unit", start: unitOn, parts: 1, specs: unit },
    ].filter(({ stage, specs }) => wants(values.only, stage) && specs.length > 0),
  );
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
if (process.env.SALLYPORT_TEST_NO_SKIPS === "1") {
  // What stands beside the checkout is nothing that could be installed, Debian has no kubectl that is new enough, and
  // Deno's makers alone have the runtime's half of an executable.
  const excused = / (?:\.\.\/|not installed: kubectl$|can't be downloaded: denort)/;
  failures.push(...skips.filter((skip) => !excused.test(skip)).map((skip) => `skipped: ${skip}`));
}
for (const failure of failures) console.log(`FAILED: ${failure}`);
if (failures.length > 0) process.exitCode = 1;
const passed = rows.reduce((total, row) => total + row.passed, 0);
console.log(`reports: ${relative(process.cwd(), reports)}`);
console.log(`${passed} passed, ${failures.length} failed, ${skips.length} skipped`);
