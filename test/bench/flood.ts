import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { connect as connectTls, createSecureContext } from "node:tls";
import { findProgram } from "../support/programs.ts";
import { cpuSeconds } from "./accounting.ts";
import { end, start } from "./children.ts";
import { type Bench, startSubject } from "./subjects.ts";

const rate = 5000;
/** Of the flood; clients are measured in all of it but the first and the last second. */
const seconds = 30;
const quietSeconds = 10;
const warmUpSeconds = 5;
const clientEveryMs = 25;
/** Waited for at most, so that one that hangs counts as failed. */
const patienceMs = 10_000;

/** What strangers come with: `connects`, nothing; `hellos`, all that makes the server answer with its certificate. */
const kinds = ["connects", "hellos"] as const;

interface Clients {
  readonly served: number;
  readonly failed: number;
  /** Milliseconds from dialling to the first byte back. */
  readonly p50: number;
  readonly p99: number;
}

export interface FloodRun {
  readonly quiet: Clients;
  readonly flood: Clients;
  /** The server's, as a part of one processor: without the flood, and while it lasted. */
  readonly cpu: readonly [quiet: number, flood: number];
  /** The flood's own account. */
  readonly strangers: Readonly<Record<string, number>>;
}

export type FloodRuns = Readonly<Record<string, Readonly<Record<string, readonly FloodRun[]>>>>;

/** The hello of a real client, which a server answers with all that it has. */
async function realHello(serverName: string): Promise<Buffer> {
  let heard = (_: Buffer): void => {};
  const hello = new Promise<Buffer>((resolve) => {
    heard = resolve;
  });
  const listening = createServer((socket) => void socket.on("error", () => {}).once("data", heard));
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
  const { port } = listening.address() as AddressInfo;
  const client = connectTls({ host: "127.0.0.1", port, servername: serverName });
  client.on("error", () => {});
  const bytes = await hello;
  client.destroy();
  listening.close();
  return bytes;
}

/** A client that the server knows: a full handshake with its certificate, a byte there and back, time after time. */
async function clients({ folder }: Bench, port: number, forSeconds: number): Promise<Clients> {
  const file = (name: string): Buffer => readFileSync(`${folder}/${name}`);
  const secureContext = createSecureContext({
    ca: file("ca.crt"),
    cert: file("client.crt"),
    key: file("client.key"),
  });
  const times: number[] = [];
  const one = (): Promise<void> =>
    new Promise((resolve) => {
      const began = performance.now();
      const socket = connectTls({ host: "127.0.0.1", port, servername: "term.bench.test", secureContext });
      socket.setNoDelay(true);
      socket.setTimeout(patienceMs, () => socket.destroy());
      socket.once("secureConnect", () => socket.write("E\nx"));
      socket.once("data", () => {
        times.push(performance.now() - began);
        socket.destroy();
      });
      socket.on("error", () => {});
      socket.once("close", () => resolve());
    });
  const until = performance.now() + forSeconds * 1000;
  const running: Promise<void>[] = [];
  while (performance.now() < until) {
    running.push(one());
    await pause(clientEveryMs);
  }
  await Promise.all(running);
  times.sort((a, b) => a - b);
  const at = (part: number): number => times[Math.floor(part * times.length)] ?? Number.NaN;
  return { served: times.length, failed: running.length - times.length, p50: at(0.5), p99: at(0.99) };
}

async function run(bench: Bench, name: string, program: string, hello: string | null): Promise<FloodRun> {
  const subject = await startSubject(name, bench);
  try {
    const pid = subject.process.pid ?? 0;
    await clients(bench, subject.termPort, warmUpSeconds);
    const first = cpuSeconds(pid);
    const quiet = await clients(bench, subject.termPort, quietSeconds);
    const before = cpuSeconds(pid);
    // Its own work is not to take the processor from the clients, as that of a flood from elsewhere would not.
    const args = ["-n", "10", program, ...[subject.termPort, rate, seconds].map(String)];
    const attack = start("nice", hello === null ? args : [...args, hello], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let said = "";
    attack.stdout?.on("data", (chunk) => {
      said += chunk;
    });
    const over = new Promise((resolve) => attack.once("exit", resolve));
    await pause(1000);
    const flood = await clients(bench, subject.termPort, seconds - 2);
    await over;
    const cpu = [(before - first) / quietSeconds, (cpuSeconds(pid) - before) / seconds] as const;
    return { quiet, flood, cpu, strangers: JSON.parse(said) as Record<string, number> };
  } finally {
    await end(subject.process);
  }
}

/** What 5,000 strangers a second, for half a minute, do to clients that the server knows. */
export async function measureFlood(
  bench: Bench,
  subjects: readonly string[],
  rounds: number,
): Promise<FloodRuns> {
  const compiler = findProgram("cc");
  if (compiler === undefined) {
    console.error("flood is left out: there is no C compiler (cc)");
    return {};
  }
  const program = `${bench.folder}/flood`;
  const { status, stderr } = spawnSync(compiler, ["-O2", "-o", program, `${bench.root}/test/bench/flood.c`], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`flood.c: ${stderr}`);
  const hello = `${bench.folder}/hello`;
  writeFileSync(hello, await realHello("term.bench.test"));
  const measured: Record<string, Record<string, FloodRun[]>> = {};
  for (let round = 0; round < rounds; round++) {
    for (const kind of kinds) {
      for (const name of subjects) {
        try {
          const one = await run(bench, name, program, kind === "hellos" ? hello : null);
          measured[kind] ??= {};
          const runs = measured[kind];
          runs[name] = [...(runs[name] ?? []), one];
          console.error(`flood of ${kind}, ${name}: ${JSON.stringify(one.strangers)}`);
        } catch (error) {
          console.error(
            `flood of ${kind}, ${name}: ${error instanceof Error ? error.message : String(error)}`,
          );
        }
      }
    }
  }
  return measured;
}

const percent = (part: number): string => `${(part * 100).toFixed(0)} %`;

/** The run in the middle, by what became of the 99th percentile. */
export function printFlood(measured: FloodRuns): string {
  const lines: string[] = [];
  const ratio = ({ quiet, flood }: FloodRun): number => flood.p99 / quiet.p99;
  for (const [kind, runs] of Object.entries(measured)) {
    lines.push(`${rate} ${kind} a second for ${seconds} s; a known client every ${clientEveryMs} ms`);
    for (const [name, own] of Object.entries(runs)) {
      const one = [...own].sort((a, b) => ratio(a) - ratio(b))[Math.floor(own.length / 2)];
      if (one === undefined) continue;
      const { quiet, flood, cpu, strangers } = one;
      const ms = ({ p50, p99 }: Clients): string => `${p50.toFixed(1)} / ${p99.toFixed(1)} ms`;
      lines.push(
        `  ${name.padEnd(12)} p50 / p99 ${ms(quiet)}, in the flood ${ms(flood)}: p99 x${ratio(one).toFixed(1)}   ${flood.failed} of ${flood.served + flood.failed} failed   CPU ${percent(cpu[0])}, ${percent(cpu[1])}   ${((strangers.begun ?? 0) / seconds).toFixed(0)} strangers a second came`,
      );
    }
  }
  return lines.join("\n");
}
