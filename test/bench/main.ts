import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, release, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Authority, createAuthority } from "../../src/authority/authority.ts";
import { cpuSeconds, memoryBytes, peakMemoryBytes } from "./accounting.ts";
import { measureAgents, printAgents } from "./agents.ts";
import { names, readArguments, usage } from "./arguments.ts";
import { end, endAll, finished, firstOutput, start } from "./children.ts";
import { measureClientSide, printClientSide } from "./client-side.ts";
import { measureFlood, printFlood } from "./flood.ts";
import { measureHttp, printHttp } from "./http.ts";
import { measurePostgres, printPostgres } from "./postgres.ts";
import { print, report, type Sample, type Samples } from "./results.ts";
import { measureScale, printScale, type Scale } from "./scaling.ts";
import { measureSteps, printSteps } from "./step-costs.ts";
import {
  type Bench,
  can,
  hasWorkers,
  isFloor,
  type Subject,
  startSubject,
  subjectVersion,
} from "./subjects.ts";
import { measureVerification, printVerification } from "./verification.ts";
import { measureWorkers, parallelForEach, printWorkers } from "./workers.ts";
import { allWorks, type Work } from "./works.ts";

/** Of each run of h2load. */
const httpRequests = 20_000;
/** Of each run of pgbench. */
const postgresSeconds = 10;
const oneJobMs = 180_000;
/** What a server still does after the last client has gone, such as its records, is its work too. */
const settleMs = 500;
const dayMs = 86_400_000;

const here = dirname(fileURLToPath(import.meta.url));
// Compiled or not, this file lies as deep below the root, but for the folder of the output.
const root = join(here, "..", "..").replace(/\/dist$/, "");
const ending = import.meta.url.endsWith(".ts") ? ".ts" : ".js";

const script = (name: string, args: readonly string[]): ReturnType<typeof start> =>
  start(process.execPath, [join(here, `${name}${ending}`), ...args], { stdio: ["pipe", "pipe", "inherit"] });

type LoadedWork = Pick<Work, "count" | "parallel" | "pass"> & {
  readonly job: Work["job"] | "during";
  readonly from?: number;
  readonly to?: number;
};

const load = (bench: Bench, work: LoadedWork, ...subjects: readonly Subject[]): ReturnType<typeof start> =>
  script("load", [
    JSON.stringify({
      work: work.job,
      ports: subjects.map(({ passPort, termPort }) => (work.pass ? passPort : termPort)),
      serverName: work.pass ? "pass.bench.test" : "term.bench.test",
      ca: `${bench.folder}/ca.crt`,
      cert: `${bench.folder}/client.crt`,
      key: `${bench.folder}/client.key`,
      count: work.count,
      parallel: work.parallel,
      from: work.from,
      to: work.to,
    }),
  ]);

async function work(bench: Bench, one: Work, ...subjects: readonly Subject[]): Promise<void> {
  await finished(load(bench, one, ...subjects), "the load client", oneJobMs);
  await pause(settleMs);
}

const measures: Readonly<
  Record<Work["unit"], (bench: Bench, subject: Subject, pid: number, one: Work) => Promise<number>>
> = {
  async seconds(bench, subject, pid, one) {
    const beside =
      one.beside === undefined
        ? null
        : load(bench, { ...one, job: "idle", count: one.beside, parallel: 50 }, subject);
    if (beside !== null) {
      await firstOutput(beside, "the load client", oneJobMs);
      await pause(2 * settleMs);
    }
    for (let times = 0; times < (one.warmUp ?? 0); times++)
      await finished(load(bench, one, subject), "the load client", oneJobMs);
    await pause(settleMs);
    const before = cpuSeconds(pid);
    await work(bench, one, subject);
    const spent = cpuSeconds(pid) - before;
    if (beside !== null) await end(beside);
    return spent;
  },
  async bytes(bench, subject, pid, one) {
    const before = memoryBytes(pid);
    const child = load(bench, one, subject);
    await firstOutput(child, "the load client", oneJobMs);
    await pause(2 * settleMs);
    const after = memoryBytes(pid);
    child.stdin?.write("done\n");
    await finished(child, "the load client", oneJobMs);
    return (after - before) / one.count;
  },
  async growth(bench, subject, pid, one) {
    await work(bench, one, subject);
    const early = memoryBytes(pid);
    for (let i = 0; i < 4; i++) await work(bench, one, subject);
    return memoryBytes(pid) / early;
  },
};

/** One measurement, by a fresh process: nobody's earlier work is in its memory or caches. */
async function measure(name: string, bench: Bench, one: Work): Promise<Sample> {
  const subject = await startSubject(name, bench);
  try {
    const pid = subject.process.pid ?? 0;
    const value = await measures[one.unit](bench, subject, pid, one);
    return { value, peak: peakMemoryBytes(pid) };
  } finally {
    await end(subject.process);
  }
}

async function certificates(folder: string): Promise<void> {
  const authority = await Authority.open(await createAuthority("Benchmark"));
  const server = await authority.server(
    ["term", "pass", "pg", "http", "agent"].map((name) => `${name}.bench.test`).concat("localhost"),
    dayMs,
  );
  const client = await authority.client({ commonName: "load" }, dayMs);
  writeFileSync(`${folder}/ca.crt`, authority.certificate.toString("pem"));
  for (const [name, pair] of [
    ["server", server],
    ["client", client],
  ] as const) {
    writeFileSync(`${folder}/${name}.crt`, pair.cert);
    writeFileSync(`${folder}/${name}.key`, pair.key, { mode: 0o600 });
  }
}

/** All of the work by all of the subjects, taking turns; a failure is told and leaves a hole. */
async function measureAll(
  bench: Bench,
  works: readonly Work[],
  subjects: readonly string[],
  rounds: number,
): Promise<{ samples: Samples; failures: number }> {
  let failures = 0;
  const samples = new Map<Work, Map<string, (Sample | null)[]>>();
  for (const one of works) {
    const able = subjects.filter((name) => can(name, one.pass));
    const bySubject = new Map<string, (Sample | null)[]>(able.map((name) => [name, []]));
    samples.set(one, bySubject);
    for (let round = 0; round < (one.unit === "growth" ? 1 : rounds); round++) {
      for (const name of able) {
        const sample = await measure(name, bench, one).catch((error: unknown) => {
          failures++;
          console.error(`${one.what}, ${name}: ${error instanceof Error ? error.message : String(error)}`);
          return null;
        });
        bySubject.get(name)?.push(sample);
      }
    }
    console.error(`measured: ${one.what}`);
  }
  return { samples, failures };
}

async function main(): Promise<void> {
  const { help, works, subjects, rounds, json, size, ...other } = readArguments(process.argv.slice(2));
  if (help) {
    console.log(`${usage}\n${names()}`);
    return;
  }
  const versions: Record<string, string> = {};
  for (const name of subjects) {
    const version = subjectVersion(name, root);
    if (version === null) console.error(`${name} is left out: it is not installed`);
    else versions[name] = version;
  }
  const folder = mkdtempSync(join(tmpdir(), "sallyport-bench-"));
  process.once("exit", () => {
    endAll();
    rmSync(folder, { recursive: true, force: true });
  });
  for (const [signal, status] of [
    ["SIGHUP", 129],
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    process.once(signal, () => process.exit(status));
  }
  await certificates(folder);
  const started = Date.now();
  const upstream = script("upstream", [`${folder}/server.crt`, `${folder}/server.key`]);
  const ports = JSON.parse(await firstOutput(upstream, "the upstream", 10_000)) as {
    plain: number;
    tls: number;
  };
  const bench: Bench = { folder, root, plainUpstream: ports.plain, tlsUpstream: ports.tls };
  const { samples, failures } = await measureAll(bench, works, Object.keys(versions), rounds);
  const products = Object.keys(versions).filter((name) => !isFloor(name));
  const clients = other.clientSide ? await measureClientSide(bench, Object.keys(versions), size, rounds) : {};
  if (other.clientSide) console.log(`\n${printClientSide(clients)}`);
  const tunnelled = other.agents ? await measureAgents(bench, Object.keys(versions), size, rounds) : {};
  if (other.agents) console.log(`\n${printAgents(tunnelled)}`);
  const queries = other.postgres ? await measurePostgres(bench, products, postgresSeconds, rounds) : {};
  if (other.postgres) console.log(`\n${printPostgres(queries)}`);
  const requests = other.http ? await measureHttp(bench, Object.keys(versions), httpRequests, rounds) : {};
  if (other.http) console.log(`\n${printHttp(requests)}`);
  const flooded = other.flood ? await measureFlood(bench, products, rounds) : {};
  if (other.flood) console.log(`\n${printFlood(flooded)}`);
  const costs = other.verification ? await measureVerification(Object.keys(versions), root, rounds) : {};
  if (other.verification) console.log(`\n${printVerification(costs)}`);
  const ownSteps = other.steps ? await measureSteps(Object.keys(versions), root, folder, rounds) : {};
  if (other.steps) console.log(`\n${printSteps(ownSteps)}`);
  const handshakes = allWorks(size).find(({ name }) => name === "full-handshake");
  const shares =
    other.workers && handshakes !== undefined
      ? await measureWorkers(
          bench,
          Object.keys(versions).filter(hasWorkers),
          {
            warmUp: (subjects) => work(bench, handshakes, ...subjects),
            during: (subjects, window) =>
              load(
                bench,
                { ...handshakes, job: "during", parallel: parallelForEach, ...window },
                ...subjects,
              ),
          },
          rounds,
        )
      : {};
  if (other.workers) console.log(`\n${printWorkers(shares)}`);
  const grown: Partial<Record<Scale, unknown>> = {};
  for (const scale of other.scales) {
    const found = await measureScale(scale, Object.keys(versions), root, folder, rounds);
    grown[scale] = found;
    console.log(`\n${printScale(scale, found)}`);
  }
  const made = report(samples, versions);
  if (works.length > 0)
    console.log(`\n${print(made)}\n\n${rounds} rounds in ${Math.round((Date.now() - started) / 1000)} s`);
  if (json !== undefined) {
    const machine = { processor: cpus()[0]?.model ?? "", cores: cpus().length, kernel: release() };
    writeFileSync(
      json,
      `${JSON.stringify({ machine, rounds, ...made, clients, agents: tunnelled, pgbench: queries, http: requests, flood: flooded, verification: costs, steps: ownSteps, workers: shares, ...grown }, null, 2)}\n`,
    );
  }
  process.exit(failures === 0 ? 0 : 1);
}

try {
  await main();
} catch (error) {
  if (!(error instanceof RangeError || (error instanceof TypeError && "code" in error))) throw error;
  console.error(`bench: ${error.message}\n${usage}`);
  process.exitCode = 2;
}
