import { cpuSeconds } from "./accounting.ts";
import { end, start } from "./children.ts";
import { type Bench, runtimeCommand, startSubject } from "./subjects.ts";
import { directions, median, ratios, type Throughputs, transfer } from "./transfer.ts";

const ways = ["router alone", "by way of an agent"] as const;
const readyMs = 20_000;

/** Runs `use` while an agent on this runtime publishes the upstream. */
async function withAgent(
  name: string,
  bench: Bench,
  port: number,
  use: (pid: number) => Promise<void>,
): Promise<void> {
  const [command, ...args] = runtimeCommand(name, bench.root, "src/main") ?? ["false"];
  const agent = start(
    command,
    [...args, "agent", "--name=bench", `--service=upstream=127.0.0.1:${bench.plainUpstream}`],
    {
      env: {
        PATH: process.env.PATH,
        XDG_CONFIG_HOME: bench.folder,
        SALLYPORT_ROUTER: `localhost:${port}`,
        SALLYPORT_TUNNEL: "never",
        SALLYPORT_CA: `${bench.folder}/ca.crt`,
        SALLYPORT_CLIENT_CERT: `${bench.folder}/client.crt`,
        SALLYPORT_CLIENT_KEY: `${bench.folder}/client.key`,
      },
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  try {
    await new Promise<void>((resolve, reject) => {
      let said = "";
      const failed = (): void => reject(new Error(`the agent publishes nothing: ${said}`));
      const late = setTimeout(failed, readyMs);
      agent.once("exit", failed);
      agent.stderr?.on("data", (chunk) => {
        said += chunk;
        if (!said.includes(" publishes ")) return;
        clearTimeout(late);
        resolve();
      });
    });
    await use(agent.pid ?? 0);
  } finally {
    await end(agent);
  }
}

const cpuOf = (direction: string, way: string): string => `${direction}, ${way}: CPU`;
const gibibyte = 1024 ** 3;

/** What the way by an agent leaves of the router's own throughput, router and agent on the same runtime. */
export async function measureAgents(
  bench: Bench,
  subjects: readonly string[],
  size: number,
  rounds: number,
): Promise<Record<string, Throughputs>> {
  const measured: Record<string, Record<string, number[]>> = {};
  for (let round = 0; round < rounds; round++) {
    for (const name of subjects) {
      if (runtimeCommand(name, bench.root, "src/main") === null) continue;
      const values = measured[name] ?? {};
      measured[name] = values;
      const router = await startSubject(name, bench);
      try {
        const note = (key: string, value: number): void => {
          values[key] = [...(values[key] ?? []), value];
        };
        await withAgent(name, bench, router.termPort, async (agentPid) => {
          const spent = (): number => cpuSeconds(router.process.pid ?? 0) + cpuSeconds(agentPid);
          for (const direction of directions)
            for (const [way, serverName] of [
              [ways[0], "term.bench.test"],
              [ways[1], "agent.bench.test"],
            ] as const) {
              const before = spent();
              note(
                `${direction}, ${way}`,
                await transfer(bench, direction, router.termPort, serverName, size),
              );
              note(cpuOf(direction, way), ((spent() - before) * gibibyte) / size);
            }
        });
      } finally {
        await end(router.process);
      }
      console.error(`measured: agent, ${name}`);
    }
  }
  return measured;
}

export function printAgents(measured: Readonly<Record<string, Throughputs>>): string {
  const parts = ratios("agent: throughput, as a part of the same without it (MiB/s)", measured, [
    { way: ways[1], base: ways[0] },
  ]);
  const cells = (direction: string): string =>
    Object.entries(measured)
      .map(
        ([name, values]) =>
          `${name} ${ways.map((way) => median(values[cpuOf(direction, way)]).toFixed(2)).join(", ")}`,
      )
      .join("   ");
  const costs = directions.map((direction) => `  ${direction.padEnd(26)}${cells(direction)}`);
  return [parts, `agent: CPU of router and agent, seconds a GiB: ${ways.join(", ")}`, ...costs].join("\n");
}
