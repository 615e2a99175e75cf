import { readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { findProgram } from "../support/programs.ts";
import { cpuSeconds } from "./accounting.ts";
import { end, finished, start } from "./children.ts";
import { type Bench, startSubject } from "./subjects.ts";

/** One run of h2load. */
interface Run {
  /** Requests a second of the clock. */
  readonly rps: number;
  /** Microseconds. */
  readonly p99: number;
  /** CPU of whatever is between client and server, microseconds a request. */
  readonly cpu: number;
}

export type HttpRuns = Readonly<Record<string, Readonly<Record<string, readonly Run[]>>>>;

const connections = 32;
/** Compilers of JavaScript are at work for as long: of the first 10,000 requests on Bun they take a third. */
const warmUp = 20_000;
const oneRunMs = 60_000;

/** What the client speaks: with the upstream it is HTTP/1.1 for everybody. */
const versions: Readonly<Record<string, readonly string[]>> = {
  "HTTP/1.1": ["--h1"],
  "HTTP/2": ["--npn-list=h2", "-m", "4"],
};

async function h2load(
  port: number,
  version: string,
  requests: number,
  log: string,
): Promise<Omit<Run, "cpu">> {
  rmSync(log, { force: true });
  const args = [
    ...["-n", String(requests), "-c", String(connections), "-t", "1", `--log-file=${log}`],
    ...(versions[version] ?? []),
    `--connect-to=127.0.0.1:${port}`,
    "https://http.bench.test/",
  ];
  const began = performance.now();
  const child = start(findProgram("h2load") ?? "h2load", args, { stdio: "ignore" });
  await finished(child, "h2load", oneRunMs);
  const seconds = (performance.now() - began) / 1000;
  // When it began, its status, and how long it took, in microseconds.
  const lines = readFileSync(log, "utf8")
    .trim()
    .split("\n")
    .map((line) => line.split("\t"));
  const failed = lines.filter(([, status]) => status !== "200").length + requests - lines.length;
  if (failed > 0) throw new Error(`${failed} of ${requests} requests failed`);
  const times = lines.map(([, , time]) => Number(time)).sort((a, b) => a - b);
  return { rps: requests / seconds, p99: times[Math.floor(times.length * 0.99)] ?? Number.NaN };
}

/** Small requests on connections that stay open, TLS ending at the subject and HTTP/1.1 behind it. */
export async function measureHttp(
  bench: Bench,
  subjects: readonly string[],
  requests: number,
  rounds: number,
): Promise<HttpRuns> {
  if (findProgram("h2load") === undefined) {
    console.error("http is left out: h2load is not installed");
    return {};
  }
  const server = createServer((_request, response) => response.end("hello, and something to read\n"));
  server.keepAliveTimeout = oneRunMs;
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const withServer: Bench = { ...bench, http: (server.address() as AddressInfo).port };
  const measured: Record<string, Record<string, Run[]>> = {};
  for (let round = 0; round < rounds; round++) {
    for (const version of Object.keys(versions)) {
      for (const name of subjects) {
        const subject = await startSubject(name, withServer);
        try {
          const pid = subject.process.pid ?? 0;
          const log = `${bench.folder}/h2load.log`;
          // What is hot is measured: a router runs for weeks.
          await h2load(subject.httpPort, version, warmUp, log);
          const before = cpuSeconds(pid);
          const run = await h2load(subject.httpPort, version, requests, log);
          const cpu = ((cpuSeconds(pid) - before) * 1e6) / requests;
          measured[version] ??= {};
          const runs = measured[version];
          runs[name] = [...(runs[name] ?? []), { ...run, cpu }];
        } catch (error) {
          console.error(
            `http, ${version}, ${name}: ${error instanceof Error ? error.message : String(error)}`,
          );
        } finally {
          await end(subject.process);
        }
      }
    }
    console.error(`measured: http, round ${round + 1}`);
  }
  server.close();
  server.closeAllConnections();
  return measured;
}

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

const peers = ["nginx", "haproxy"] as const;

/** Each subject beside the peers, round by round. */
export function printHttp(measured: HttpRuns): string {
  const lines: string[] = [];
  for (const [version, runs] of Object.entries(measured)) {
    lines.push(`${version} from ${connections} clients, HTTP/1.1 to the upstream; of nginx / of HAProxy`);
    for (const [name, own] of Object.entries(runs)) {
      const beside = (value: (run: Run) => number): string =>
        peers
          .map((peer) => {
            const base = runs[peer] ?? [];
            const ratios = own.flatMap((run, i) => {
              const other = base[i];
              return other === undefined ? [] : [value(run) / value(other)];
            });
            return ratios.length === 0 ? "-" : median(ratios).toFixed(2);
          })
          .join(" / ");
      const plain = (value: (run: Run) => number): string => median(own.map(value)).toFixed(0);
      lines.push(
        `  ${name.padEnd(12)} CPU a request ${beside(({ cpu }) => cpu)} (${plain(({ cpu }) => cpu)} µs)   requests a second ${beside(({ rps }) => rps)} (${plain(({ rps }) => rps)})   p99 ${beside(({ p99 }) => p99)} (${plain(({ p99 }) => p99)} µs)`,
      );
    }
  }
  return lines.join("\n");
}
