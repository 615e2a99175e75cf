import { end, firstOutput, start } from "./children.ts";
import { type Bench, runtimeCommand, type Subject, startSubject } from "./subjects.ts";
import { directions, ratios, type Throughputs, transfer } from "./transfer.ts";

const ways = ["router alone", "local proxy", "local proxy, tunnel"] as const;

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
        for (const job of directions)
          note(job, ways[0], await transfer(bench, job, router.termPort, "term.bench.test", size));
        for (const [way, tunnel] of [
          [ways[1], "never"],
          [ways[2], "always"],
        ] as const) {
          await throughProxy(name, bench, router, tunnel, async (port) => {
            for (const job of directions) note(job, way, await transfer(bench, job, port, null, size));
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

/** Ratios to the router alone, and of the tunnel to the same without it. */
export const printClientSide = (measured: Readonly<Record<string, Throughputs>>): string =>
  ratios("local proxy: throughput, as a part of the same without it (MiB/s)", measured, [
    { way: ways[1], base: ways[0] },
    { way: ways[2], base: ways[1] },
  ]);
