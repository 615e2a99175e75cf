import type { Runtime } from "../types.ts";
import { atLeast } from "./at-least.ts";

/** The oldest release of each runtime whose TLS sockets do what is asked of them; see docs/architecture.md. */
export const floors = { node: "20.20.0", deno: "2.8.0", bun: "1.4.3" } as const;

/** The runtime that this process runs on. Throws where it is too old. */
export async function selectRuntime(): Promise<Runtime> {
  const runtime = await currentRuntime();
  const floor = floors[runtime.name];
  if (!atLeast(runtime.version, floor)) {
    throw new Error(
      `${runtime.name} ${runtime.version} is too old: its TLS sockets lose data or connections. Use ${floor} or newer.`,
    );
  }
  return runtime;
}

async function currentRuntime(): Promise<Runtime> {
  // Imported only where it runs: the other files name globals that are not there.
  if ("Bun" in globalThis) return new (await import("./bun.ts")).BunRuntime();
  if ("Deno" in globalThis) return new (await import("./deno.ts")).DenoRuntime();
  const { NodeRuntime } = await import("./node.ts");
  // Not before: what V8 keeps compiled of Node's own modules it takes for another's once a flag has changed.
  await tuneCollector();
  return new NodeRuntime();
}

/** Whose V8 has the first setting below, and needs it: older ones say on standard error that they don't know it. */
const countedFrom = "26.0.0";

/** V8's own choice is up to four times what is alive. */
const usualGrowth = 4;

/** A heap that is marked more often than this is marked for the sake of buffers, MiB. */
const worthMarking = 96;

/**
 * V8 marks the whole heap once that and what it holds outside have grown to a few times what is alive. With a heap as
 * small as a client command's that is some megabytes of buffers: dozens of times a second at full speed, a third of all CPU
 * where TLS is read record by record. Newer V8 does so with a router's heap, too, unless the two are counted together.
 */
async function tuneCollector(): Promise<void> {
  const { getHeapStatistics, setFlagsFromString } = await import("node:v8");
  const counted = atLeast(process.versions.node, countedFrom);
  if (counted) setFlagsFromString("--external-memory-accounted-in-global-limit");
  const growth = worthMarking / (getHeapStatistics().used_heap_size / 2 ** 20);
  if (counted || growth > usualGrowth)
    setFlagsFromString(`--heap-growing-percent=${Math.round((Math.max(growth, usualGrowth) - 1) * 100)}`);
}
