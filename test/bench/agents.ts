import { end, start } from "./children.ts";
import { type Bench, runtimeCommand, startSubject } from "./subjects.ts";
import { directions, ratios, type Throughputs, transfer } from "./transfer.ts";

const ways = ["router alone", "by way of an agent"] as const;
const readyMs = 20_000;

/** Runs `use` while an agent on this runtime publishes the upstream. */
async function withAgent(name: string, bench: Bench, port: number, use: () => Promise<void>): Promise<void> {
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
    await use();
  } finally {
    await end(agent);
  }
}

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
        await withAgent(name, bench, router.termPort, async () => {
          for (const direction of directions)
            for (const [way, serverName] of [
              [ways[0], "term.bench.test"],
              [ways[1], "agent.bench.test"],
            ] as const) {
              const key = `${direction}, ${way}`;
              const value = await transfer(bench, direction, router.termPort, serverName, size);
              values[key] = [...(values[key] ?? []), value];
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

export const printAgents = (measured: Readonly<Record<string, Throughputs>>): string =>
  ratios("agent: throughput, as a part of the same without it (MiB/s)", measured, [
    { way: ways[1], base: ways[0] },
  ]);
