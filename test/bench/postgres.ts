import { spawnSync } from "node:child_process";
import { newestLibpq, startPostgres } from "../support/postgres.ts";
import { findProgram } from "../support/programs.ts";
import { cpuSeconds } from "./accounting.ts";
import { end, start } from "./children.ts";
import { type Bench, type Subject, startSubject } from "./subjects.ts";

/** One run of pgbench. */
interface Run {
  /** Transactions a second of the clock. */
  readonly tps: number;
  /** Milliseconds. */
  readonly latency: number;
  /** CPU of whatever is between client and server, microseconds a transaction. */
  readonly cpu: number | null;
}

export type PostgresRuns = Readonly<Record<string, readonly Run[]>>;

const clients = 8;
const straight = "straight";

/** Where pgbench finds the same server, and what is in between. */
interface Way {
  readonly port: number;
  readonly subject: Subject | null;
}

function pgbench(
  bench: Bench,
  port: number,
  seconds: number,
): Promise<{ tps: number; latency: number; count: number }> {
  const { folder } = bench;
  const connection = [
    `host=pg.bench.test hostaddr=127.0.0.1 port=${port} user=postgres dbname=postgres`,
    `sslmode=verify-full sslnegotiation=direct sslrootcert=${folder}/ca.crt`,
    `sslcert=${folder}/client.crt sslkey=${folder}/client.key`,
  ].join(" ");
  const args = ["-n", "-S", "-c", String(clients), "-j", "1", "-T", String(seconds), connection];
  const child = start(findProgram("pgbench") ?? "pgbench", args, {
    env: { PATH: process.env.PATH, HOME: folder, LD_LIBRARY_PATH: newestLibpq },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream?.on("data", (chunk) => {
      said += chunk;
    });
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => void end(child), (seconds + 60) * 1000);
    child.once("close", () => {
      clearTimeout(late);
      const number = (words: RegExp): number => Number(words.exec(said)?.[1] ?? Number.NaN);
      const run = {
        tps: number(/tps = ([\d.]+)/),
        latency: number(/latency average = ([\d.]+) ms/),
        count: number(/actually processed: (\d+)/),
      };
      if (Number.isNaN(run.tps)) reject(new Error(`pgbench: ${said}`));
      else resolve(run);
    });
  });
}

/** What a select costs through each subject, the client's TLS ending there and a plain connection behind it. */
export async function measurePostgres(
  bench: Bench,
  subjects: readonly string[],
  seconds: number,
  rounds: number,
): Promise<PostgresRuns> {
  if (newestLibpq === undefined || findProgram("pgbench") === undefined) {
    console.error("pgbench is left out: it, or the newest libpq, is not installed");
    return {};
  }
  const server = await startPostgres("newest", {
    cert: `${bench.folder}/server.crt`,
    key: `${bench.folder}/server.key`,
  });
  const measured: Record<string, Run[]> = {};
  try {
    const database = `host=127.0.0.1 port=${server.port} user=postgres dbname=postgres`;
    spawnSync(findProgram("pgbench") ?? "pgbench", ["-i", "-q", "-s", "10", database], { stdio: "ignore" });
    const withServer: Bench = { ...bench, postgres: server.port };
    for (let round = 0; round < rounds; round++) {
      for (const name of [
        straight,
        "haproxy, passed through",
        ...subjects.filter((one) => one !== "nginx"),
      ]) {
        const subject = name === straight ? null : await startSubject(name.split(",")[0] ?? name, withServer);
        try {
          const way: Way = {
            subject,
            port:
              subject === null
                ? server.port
                : name.includes(",")
                  ? subject.postgresPassPort
                  : subject.postgresPort,
          };
          const pid = subject?.process.pid;
          // What is hot is measured: a router runs for weeks.
          if (pid !== undefined) await pgbench(bench, way.port, 3);
          const before = pid === undefined ? 0 : cpuSeconds(pid);
          const { tps, latency, count } = await pgbench(bench, way.port, seconds);
          const cpu = pid === undefined ? null : ((cpuSeconds(pid) - before) * 1e6) / count;
          measured[name] = [...(measured[name] ?? []), { tps, latency, cpu }];
        } finally {
          if (subject !== null) await end(subject.process);
        }
      }
      console.error(`measured: pgbench, round ${round + 1}`);
    }
  } finally {
    server.stop();
  }
  return measured;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** Each way beside the straight one, and its CPU beside HAProxy's, round by round. */
export function printPostgres(measured: PostgresRuns): string {
  const lines = [
    `pgbench, select only, ${clients} clients: part of the throughput straight to Postgres over TLS`,
  ];
  const base = measured[straight] ?? [];
  const peer = measured.haproxy ?? [];
  for (const [name, runs] of Object.entries(measured)) {
    const part = median(runs.map(({ tps }, round) => tps / (base[round]?.tps ?? Number.NaN)));
    const latency = median(runs.map((run, round) => run.latency / (base[round]?.latency ?? Number.NaN)));
    const cpu = median(runs.map((run, round) => (run.cpu ?? Number.NaN) / (peer[round]?.cpu ?? Number.NaN)));
    const spent = median(runs.map((run) => run.cpu ?? Number.NaN));
    const tps = median(runs.map((run) => run.tps));
    const ofCpu = Number.isNaN(cpu) ? "" : `   CPU ${cpu.toFixed(2)} of HAProxy (${spent.toFixed(1)} µs)`;
    lines.push(
      `  ${name.padEnd(26)}${part.toFixed(2)} (${tps.toFixed(0)}/s)   latency ${latency.toFixed(2)}${ofCpu}`,
    );
  }
  return lines.join("\n");
}
