import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Authority, createAuthority } from "../../src/authority/authority.ts";
import { cpuSeconds, memoryBytes } from "./accounting.ts";
import { type Bench, type Subject, startSubject, stopSubject, subjectNames } from "./subjects.ts";

/** The same work through every subject in turn; what counts is the server's CPU, as a ratio to the first peer. */
interface Work {
  readonly name: string;
  readonly what: string;
  readonly job: string;
  readonly pass: boolean;
  readonly count: number;
  readonly parallel: number;
}

const mebibyte = 1024 * 1024;
const usage = `Usage: npm run bench -- [--only WORK,…] [--subject NAME,…] [--rounds N] [--size MIB] [--json FILE]`;
const { values } = parseArgs({
  options: {
    only: { type: "string" },
    subject: { type: "string" },
    rounds: { type: "string", default: "3" },
    size: { type: "string", default: "1024" },
    json: { type: "string" },
    help: { type: "boolean" },
  },
});
const size = Number(values.size) * mebibyte;
const works: readonly Work[] = [
  {
    name: "full-handshake",
    what: "full mTLS handshake, terminated",
    job: "many",
    pass: false,
    count: 2000,
    parallel: 8,
  },
  {
    name: "resumed",
    what: "resumed handshake, terminated",
    job: "resumed",
    pass: false,
    count: 2000,
    parallel: 8,
  },
  {
    name: "down-term",
    what: `${values.size} MiB down, terminated`,
    job: "down",
    pass: false,
    count: size,
    parallel: 1,
  },
  {
    name: "up-term",
    what: `${values.size} MiB up, terminated`,
    job: "up",
    pass: false,
    count: size,
    parallel: 1,
  },
  {
    name: "new-pass",
    what: "new connection, passed through",
    job: "many",
    pass: true,
    count: 2000,
    parallel: 8,
  },
  {
    name: "down-pass",
    what: `${values.size} MiB down, passed through`,
    job: "down",
    pass: true,
    count: size,
    parallel: 1,
  },
  {
    name: "up-pass",
    what: `${values.size} MiB up, passed through`,
    job: "up",
    pass: true,
    count: size,
    parallel: 1,
  },
  {
    name: "trips-term",
    what: "1-byte round trips, terminated",
    job: "round-trips",
    pass: false,
    count: 5000,
    parallel: 8,
  },
  {
    name: "trips-pass",
    what: "1-byte round trips, passed through",
    job: "round-trips",
    pass: true,
    count: 5000,
    parallel: 8,
  },
  {
    name: "idle-memory",
    what: "memory an idle terminated connection",
    job: "idle",
    pass: false,
    count: 2000,
    parallel: 1,
  },
];
/** Asked for by name only: it takes minutes. */
const growth: Work = {
  name: "memory-growth",
  what: "memory after 50,000 handshakes / after 10,000",
  job: "many",
  pass: false,
  count: 10_000,
  parallel: 8,
};

const here = dirname(fileURLToPath(import.meta.url));
// Compiled or not, this file lies as deep below the root, but for the folder of the output.
const root = join(here, "..", "..").replace(/\/dist$/, "");
const ending = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
const children = new Set<ChildProcess>();

function script(name: string, args: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [join(here, `${name}${ending}`), ...args], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  children.add(child);
  child.once("exit", () => children.delete(child));
  return child;
}

const firstLine = (child: ChildProcess): Promise<string> =>
  new Promise((resolve, reject) => {
    child.stdout?.once("data", (chunk) => resolve(String(chunk)));
    child.once("exit", (status) => reject(new Error(`ended with ${status}`)));
  });

const load = (bench: Bench, subject: Subject, work: Work): ChildProcess =>
  script("load", [
    JSON.stringify({
      work: work.job,
      port: work.pass ? subject.passPort : subject.termPort,
      serverName: work.pass ? "pass.bench.test" : "term.bench.test",
      ca: `${bench.folder}/ca.crt`,
      cert: `${bench.folder}/client.crt`,
      key: `${bench.folder}/client.key`,
      count: work.count,
      parallel: work.parallel,
    }),
  ]);

const finished = (child: ChildProcess): Promise<void> =>
  new Promise((resolve, reject) =>
    child.once("exit", (status) =>
      status === 0 ? resolve() : reject(new Error(`the load client ended with ${status}`)),
    ),
  );

/** CPU seconds the server spent; for idle connections, bytes of memory for each. */
async function measure(bench: Bench, subject: Subject, work: Work): Promise<number> {
  const pid = subject.process.pid ?? 0;
  if (work.job === "idle") {
    const before = memoryBytes(pid);
    const child = load(bench, subject, work);
    await firstLine(child);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const after = memoryBytes(pid);
    child.stdin?.write("done\n");
    await finished(child);
    return (after - before) / work.count;
  }
  const before = cpuSeconds(pid);
  await finished(load(bench, subject, work));
  return cpuSeconds(pid) - before;
}

async function measureGrowth(bench: Bench, subject: Subject): Promise<number> {
  const pid = subject.process.pid ?? 0;
  await finished(load(bench, subject, growth));
  const early = memoryBytes(pid);
  for (let i = 0; i < 4; i++) await finished(load(bench, subject, growth));
  console.log(
    `${subject.name}: ${Math.round(early / mebibyte)} MiB after 10,000, ${Math.round(memoryBytes(pid) / mebibyte)} MiB after 50,000`,
  );
  return memoryBytes(pid) / early;
}

const median = (numbers: readonly number[]): number =>
  [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

async function certificates(folder: string): Promise<void> {
  const authority = await Authority.open(await createAuthority("Benchmark"));
  const server = await authority.server(["term.bench.test", "pass.bench.test"], 86_400_000);
  const client = await authority.client({ commonName: "load" }, 86_400_000);
  writeFileSync(`${folder}/ca.crt`, authority.certificate.toString("pem"));
  for (const [name, pair] of [
    ["server", server],
    ["client", client],
  ] as const) {
    writeFileSync(`${folder}/${name}.crt`, pair.cert);
    writeFileSync(`${folder}/${name}.key`, pair.key, { mode: 0o600 });
  }
}

function print(
  results: ReadonlyMap<string, ReadonlyMap<string, readonly number[]>>,
  chosen: readonly Work[],
  subjects: readonly string[],
): void {
  const base = subjects[0] ?? "";
  console.log(
    `\nServer CPU for the same work, as a ratio to ${base} in the same run (in brackets: seconds, or KiB a connection).`,
  );
  console.log(["", ...subjects].map((cell, i) => cell.padEnd(i === 0 ? 40 : 18)).join(""));
  for (const work of chosen) {
    const of = (subject: string): readonly number[] => results.get(work.name)?.get(subject) ?? [];
    const cells = subjects.map((subject) => {
      // Round by round, so that what slowed the machine down for a while slowed both.
      const ratio = median(of(subject).map((value, i) => value / (of(base)[i] ?? Number.NaN)));
      const value = median(of(subject));
      const plain = work.job === "idle" ? (value / 1024).toFixed(1) : value.toFixed(2);
      return `${work === growth ? value.toFixed(2) : ratio.toFixed(2)} (${plain})`.padEnd(18);
    });
    console.log(`${work.what.padEnd(40)}${cells.join("")}`);
  }
}

async function main(): Promise<void> {
  const known = [...works, growth];
  const chosen =
    values.only === undefined ? works : known.filter(({ name }) => values.only?.split(",").includes(name));
  const wanted = values.subject === undefined ? subjectNames : values.subject.split(",");
  const folder = mkdtempSync(join(tmpdir(), "sallyport-bench-"));
  const running: Subject[] = [];
  const stop = (): void => {
    for (const child of children) child.kill("SIGKILL");
    for (const subject of running) subject.process.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  };
  process.once("SIGINT", () => {
    stop();
    process.exit(130);
  });
  try {
    await certificates(folder);
    const upstream = script("upstream", [`${folder}/server.crt`, `${folder}/server.key`]);
    const ports = JSON.parse(await firstLine(upstream)) as { plain: number; tls: number };
    const bench: Bench = { folder, root, plainUpstream: ports.plain, tlsUpstream: ports.tls };
    const results = new Map<string, Map<string, number[]>>();
    const present = new Set<string>();
    for (const work of chosen) {
      const byName = new Map<string, number[]>();
      results.set(work.name, byName);
      for (let round = 0; round < (work === growth ? 1 : Number(values.rounds)); round++) {
        for (const name of wanted) {
          // A fresh process each time: nobody's earlier work is in anybody's memory or caches.
          const subject = await startSubject(name, bench);
          if (typeof subject === "string") {
            if (round === 0 && work === chosen[0]) console.log(`${name} is left out: ${subject}`);
            continue;
          }
          running.push(subject);
          present.add(name);
          const value =
            work === growth ? await measureGrowth(bench, subject) : await measure(bench, subject, work);
          byName.set(name, [...(byName.get(name) ?? []), value]);
          await stopSubject(subject);
          running.pop();
        }
      }
      console.log(`measured: ${work.what}`);
    }
    print(
      results,
      chosen,
      wanted.filter((name) => present.has(name)),
    );
    if (values.json !== undefined) {
      const plain = Object.fromEntries(
        [...results].map(([work, byName]) => [work, Object.fromEntries(byName)]),
      );
      writeFileSync(values.json, `${JSON.stringify(plain, null, 2)}\n`);
    }
  } finally {
    stop();
  }
}

if (values.help === true) console.log(usage);
else await main();
