// `npm test`: format, lint, types, then every spec on every runtime, with one table at the end.
//   npm test -- [--only check,unit,e2e,soak] [--runtime node,node-newest,deno,bun] [--grep PATH]
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { dirname, join, relative } from "node:path";
import { parseArgs } from "node:util";
import { binary, bun, compile, deno, installDependencies, installTestTools, root } from "./prepare.mjs";

const { values } = parseArgs({
  options: { only: { type: "string" }, runtime: { type: "string" }, grep: { type: "string" } },
});
const started = Date.now();
const wants = (list, name) => list === undefined || list.split(",").includes(name);

/** The format's check, and what it takes to be installed, beside what else there is to install and to compile. */
function startLint() {
  const args = [join(root, ".ci", "biome.mjs"), "ci", "--error-on-warnings", "."];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  const said = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => said.push(chunk));
  return new Promise((resolve) => {
    child.on("close", (status) => resolve({ status, text: Buffer.concat(said).toString() }));
  });
}
const linting = wants(values.only, "check") ? startLint() : null;
installDependencies();
const typesFit = compile();
const lint = await linting;
if (lint === null) installTestTools();

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
let gist;

/** `SALLYPORT_TEST_SOAK_MINUTES` makes the soak longer than the two minutes that it takes otherwise. */
const soakMs = Number(process.env.SALLYPORT_TEST_SOAK_MINUTES ?? 2) * 60_000;
const bounds = { unit: 450_000, e2e: 300_000, soak: soakMs + 180_000 };
/** They begin first, so that nobody waits for one of them at the end. */
const longest = [
  ...["balancers", "life-cycle", "local-proxy", "audit", "attacks", "take-over", "workers", "revocation"],
  ...["reload", "login", "postgres-routes", "several-machines", "drain", "kubectl", "real-programs", "acme"],
].map((name) => `test/e2e/${name}.test.ts`);
endToEnd.sort((a, b) => Number(longest.includes(b)) - Number(longest.includes(a)));
const rows = [];
const skips = [];
const failures = [];

/** `lines`: what is to be said of it beside its name. */
const fail = (name, lines = []) => failures.push({ name, lines });

const heading = (text) => console.log(`\n== ${text} (${((Date.now() - started) / 1000).toFixed(0)} s)`);

function check(name, passed) {
  rows.push({ stage: name, runtime: "", passed: passed ? 1 : 0, failed: passed ? 0 : 1, skipped: 0 });
  if (!passed) fail(name);
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
    const cases = completed.get(runtime);
    const row = { stage, runtime, passed: 0, failed: 0, skipped: 0 };
    for (const { name, outcome, reason, failure } of cases) {
      row[outcome]++;
      if (outcome === "failed") {
        fail(`${stage} on ${runtime}: ${name}${reason === "" ? "" : `: ${reason}`}`, gist(failure));
      }
      if (outcome === "skipped")
        skips.push(`${stage} on ${runtime}: ${name}: ${reason || "no reason given"}`);
    }
    // Failures outside of any test: a file that did not load, a hook, the time bound.
    for (const { name, status, report, end } of parts) {
      const found = readReport(text(report));
      if (found.length > 0 && (status === 0 || found.some(({ outcome }) => outcome === "failed"))) continue;
      row.failed++;
      fail(`${name} on ${runtime}: ended with ${status}, of ${found.length} tests none failed`, end);
    }
    rows.push(row);
  }
}

function run({ stage, name = stage, runtime, command, args, report, env = {} }) {
  const began = Date.now();
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
      output.push(Buffer.from(`\n${name} on ${runtime} took longer than ${bounds[stage] / 1000} s\n`));
      process.kill(-child.pid, "SIGKILL");
    }, bounds[stage]);
    child.on("close", (status) => {
      clearTimeout(late);
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // Nothing of it was left.
      }
      const text = Buffer.concat(output).toString();
      if (status !== 0) console.log(text);
      const seconds = (since) => `${((Date.now() - since) / 1000).toFixed(0)} s`;
      console.log(
        `  ${name} on ${runtime}: ${status === 0 ? "ok" : "FAILED"}, ${seconds(began)} (${seconds(started)})`,
      );
      resolve({ name, runtime, status, report, end: text.trimEnd().split("\n").slice(-15) });
    });
  });
}

const compiled = (path) => `dist/${path.replace(/\.ts$/, ".js")}`;

const forNode = (report) => [
  "--test-reporter=spec",
  "--test-reporter-destination=stderr",
  "--test-reporter=junit",
  `--test-reporter-destination=${report}`,
];

/** Whether a spec has, or imports, a hook for its whole file, which would be one for all files in a process. */
function hasHooks(path, seen = new Set()) {
  if (seen.has(path)) return false;
  seen.add(path);
  const text = readFileSync(join(root, path), "utf8");
  if (/^(?:before|after)(?:Each)?\(/m.test(text)) return true;
  const imported = [...text.matchAll(/ from "(\.[^"]+)";$/gm)].map(([, to]) => join(dirname(path), to));
  return imported.some((to) => to.startsWith("test/") && existsSync(join(root, to)) && hasHooks(to, seen));
}

/** What runs all of these in one process. */
const inOne = (paths) => (paths.length > 0 ? ["test/runner/in-one-process.ts"] : []);

function unitOn({ name: runtime, command }, paths) {
  const report = join(reports, `unit-${runtime}.xml`);
  const alone = paths.filter((path) => hasHooks(path));
  const together = paths.filter((path) => !alone.includes(path));
  const args = {
    deno: () => ["test", "-A", "--no-check", `--junit-path=${report}`, ...inOne(together), ...alone],
    bun: () => [
      ...["test", "--timeout=60000", "--reporter=junit", `--reporter-outfile=${report}`],
      ...paths.map((path) => `./${path}`),
    ],
    // The time is one for whatever is in a process, too.
    node: () => [
      ...["--test", "--test-timeout=400000", ...forNode(report)],
      ...[...inOne(together), ...alone].map(compiled),
    ],
  };
  // Deno and Bun run the sources.
  const files = runtime.startsWith("node") ? together.map(compiled) : together;
  const env = { SALLYPORT_TEST_TOGETHER: JSON.stringify(files) };
  return run({ stage: "unit", runtime, command, args: (args[runtime] ?? args.node)(), report, env });
}

/** A spec file on a runtime. The driver is always the Node that runs this; what it drives is the runtime under test. */
function drivenOn(stage, { name: runtime, command }, path) {
  const name = path.slice("test/".length, -".test.ts".length);
  const report = join(reports, `${name.replace("/", "-")}-${runtime}.xml`);
  return run({
    stage,
    name,
    runtime,
    command: process.execPath,
    args: [...forNode(report), compiled(path)],
    report,
    env: {
      SALLYPORT_TEST_RUNTIME: runtime,
      SALLYPORT_TEST_COMMAND: command,
      SALLYPORT_TEST_OTHERS: JSON.stringify(present.map((one) => ({ name: one.name, command: one.command }))),
    },
  });
}

/** What all processors of this machine have been idle since it started, added up. */
const idleMs = () => cpus().reduce((sum, { times }) => sum + times.idle, 0);

/** Beside the four, where processors have nothing to do. */
const mostMore = 3;
const lookEveryMs = 2000;

/**
 * Four end-to-end specs at a time, which wait for their programs most of the time, and beside them the unit specs of
 * one runtime after the other, which don't and fill the gaps. More only makes them wait for each other on a small
 * machine: one more begins where most of a processor was idle for two seconds.
 */
async function runSpecs() {
  heading("specs");
  const on = (stage, start, pieces) =>
    wants(values.only, stage)
      ? pieces.flatMap((piece) => present.map((runtime) => ({ stage, start: () => start(runtime, piece) })))
      : [];
  const units = on("unit", unitOn, unit.length > 0 ? [unit] : []);
  const ends = on("e2e", (runtime, path) => drivenOn("e2e", runtime, path), endToEnd);
  const soaks = on("soak", (runtime, path) => drivenOn("soak", runtime, path), soak);
  const results = new Map([...soaks, ...units, ...ends].map(({ stage }) => [stage, []]));
  const worker = async (first, then) => {
    const take = () => first.shift() ?? then.shift();
    for (let next = take(); next !== undefined; next = take())
      results.get(next.stage).push(await next.start());
  };
  // Little work for long: beside everything else.
  const soaking = soaks.map(({ start }) => start());
  const more = new Set();
  let [idle, at] = [idleMs(), Date.now()];
  const looking = setInterval(() => {
    const processors = (idleMs() - idle) / (Date.now() - at);
    [idle, at] = [idleMs(), Date.now()];
    // Where some of a machine's processors are ours, nothing is known of those.
    const known = cpus().length === availableParallelism();
    const next = known && processors > 0.6 && more.size < mostMore ? ends.shift() : undefined;
    if (next === undefined) return;
    const one = worker([next], []).finally(() => more.delete(one));
    more.add(one);
  }, lookEveryMs);
  await Promise.all([worker(units, ends), ...Array.from({ length: 4 }, () => worker(ends, units))]);
  clearInterval(looking);
  await Promise.all(more);
  results.get("soak")?.push(...(await Promise.all(soaking)));
  for (const stage of ["e2e", "unit", "soak"]) if (results.has(stage)) count(stage, results.get(stage));
}

if (lint !== null) {
  heading("format and lint");
  console.log(lint.text.trim());
  check("format and lint", lint.status === 0);
}
heading("types");
check("types", typesFit);
const present = runtimes.filter(({ command }) => command !== undefined);
for (const { name } of runtimes.filter(({ command }) => command === undefined)) {
  skips.push(`${name}: its package has no binary for ${process.platform}-${process.arch}`);
}
if (typesFit) {
  ({ readReport, complete } = await import("../dist/test/runner/report.js"));
  ({ gist } = await import("../dist/test/runner/failure.js"));
  await runSpecs();
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
  for (const skip of skips) if (!excused.test(skip)) fail(`skipped: ${skip}`);
}
// At the end once more: of a long run its end alone may be kept.
for (const [i, { name, lines }] of failures.entries()) {
  console.log(`FAILED: ${name}`);
  if (i < 10) for (const line of lines) console.log(`  | ${line}`);
}
if (failures.length > 0) process.exitCode = 1;
const passed = rows.reduce((total, row) => total + row.passed, 0);
console.log(`reports: ${relative(process.cwd(), reports)}`);
console.log(`${passed} passed, ${failures.length} failed, ${skips.length} skipped`);
