import { fileURLToPath } from "node:url";
import { end, finished, firstOutput, start } from "./children.ts";
import { type Bench, runtimeCommand, type Subject, startSubject } from "./subjects.ts";

/** Throughput of one way, MiB a second of the clock: everything is on this machine. */
export type Throughputs = Readonly<Record<string, readonly number[]>>;

const ways = ["router alone", "local proxy", "local proxy, tunnel"] as const;
const jobs = ["down", "up"] as const;
const oneJobMs = 60_000;
const mebibyte = 1024 * 1024;

const ending = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
const loadScript = fileURLToPath(new URL(`load${ending}`, import.meta.url));

/** Moves `size` bytes, and says how many MiB a second that were. */
async function transfer(
  bench: Bench,
  job: string,
  port: number,
  plain: boolean,
  size: number,
): Promise<number> {
  const files = {
    ca: `${bench.folder}/ca.crt`,
    cert: `${bench.folder}/client.crt`,
    key: `${bench.folder}/client.key`,
  };
  const task = { work: job, port, serverName: "term.bench.test", ...files, count: size, parallel: 1, plain };
  const started = performance.now();
  await finished(
    start(process.execPath, [loadScript, JSON.stringify(task)], { stdio: ["pipe", "pipe", "inherit"] }),
    "the load client",
    oneJobMs,
  );
  return size / mebibyte / ((performance.now() - started) / 1000);
}

async function throughProxy(
  name: string,
  bench: Bench,
  { termPort }: Subject,
  tunnel: "always" | "never",
  use: (port: number) => Promise<void>,
): Promise<void> {
  const [command, ...args] = runtimeCommand(name, bench.root, "src/main") ?? ["false"];
  const proxy = start(
    command,
    [...args, "proxy", "tcp", "term.bench.test", "--alpn", "sallyport-tcp", "--tunnel", tunnel, "--json"],
    {
      env: {
        PATH: process.env.PATH,
        XDG_CONFIG_HOME: bench.folder,
        SALLYPORT_ROUTER: `localhost:${termPort}`,
        SALLYPORT_CA: `${bench.folder}/ca.crt`,
        SALLYPORT_CLIENT_CERT: `${bench.folder}/client.crt`,
        SALLYPORT_CLIENT_KEY: `${bench.folder}/client.key`,
      },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  try {
    const said = JSON.parse(await firstOutput(proxy, "the local proxy", 20_000)) as { port: number };
    await use(said.port);
  } finally {
    await end(proxy);
  }
}

/** What a local proxy leaves of the router's own throughput, router and proxy on the same runtime. */
export async function measureClientSide(
  bench: Bench,
  subjects: readonly string[],
  size: number,
  rounds: number,
): Promise<Record<string, Throughputs>> {
  const measured: Record<string, Throughputs> = {};
  for (const name of subjects) {
    if (runtimeCommand(name, bench.root, "src/main") === null) continue;
    const values: Record<string, number[]> = {};
    const note = (job: string, way: string, value: number): void => {
      const key = `${job}, ${way}`;
      values[key] = [...(values[key] ?? []), value];
    };
    for (let round = 0; round < rounds; round++) {
      const router = await startSubject(name, bench);
      try {
        for (const job of jobs) note(job, ways[0], await transfer(bench, job, router.termPort, false, size));
        for (const [way, tunnel] of [
          [ways[1], "never"],
          [ways[2], "always"],
        ] as const) {
          await throughProxy(name, bench, router, tunnel, async (port) => {
            for (const job of jobs) note(job, way, await transfer(bench, job, port, true, size));
          });
        }
      } finally {
        await end(router.process);
      }
    }
    measured[name] = values;
    console.error(`measured: local proxy, ${name}`);
  }
  return measured;
}

const median = (values: readonly number[] = []): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

/** What is compared with what, in the same round. */
const comparisons = [
  { way: ways[1], base: ways[0] },
  { way: ways[2], base: ways[1] },
] as const;

/** Ratios to the router alone, and of the tunnel to the same without it. */
export function printClientSide(measured: Readonly<Record<string, Throughputs>>): string {
  const lines = ["local proxy: throughput, as a part of the same without it (MiB/s)"];
  for (const job of jobs) {
    for (const { way, base } of comparisons) {
      const cells = Object.entries(measured).map(([name, values]) => {
        const without = values[`${job}, ${base}`] ?? [];
        const there = values[`${job}, ${way}`] ?? [];
        const ratio = median(there.map((value, round) => value / (without[round] ?? Number.NaN)));
        return `${name} ${ratio.toFixed(2)} (${median(there).toFixed(0)} of ${median(without).toFixed(0)})`;
      });
      lines.push(`  ${`${job}, ${way}`.padEnd(26)}${cells.join("   ")}`);
    }
  }
  return lines.join("\n");
}
