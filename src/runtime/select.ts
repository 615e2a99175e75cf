import type { Runtime } from "../types.ts";

/** The oldest release of each runtime whose TLS sockets do what is asked of them; see docs/architecture.md. */
export const floors = { node: "20.20.0", deno: "2.8.0", bun: "1.4.3" } as const;

/** True when `version` (`major.minor.patch`, a suffix is ignored) is at least `floor`. */
export function atLeast(version: string, floor: string): boolean {
  const parts = (text: string): number[] => text.split(/[.-]/, 3).map(Number);
  const [have, want] = [parts(version), parts(floor)];
  for (let i = 0; i < 3; i++) {
    const difference = (have[i] ?? 0) - (want[i] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return true;
}

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
  await tuneCollector();
  return new (await import("./node.ts")).NodeRuntime();
}

/** Whose V8 has the settings below, and needs them: older ones say on standard error that they don't know the first. */
const tunedFrom = "26.0.0";

/**
 * Newer V8 marks the whole heap whenever some megabytes of buffers were allocated outside of it, which at full speed
 * is dozens of times a second, and a third of all CPU where TLS is read record by record. Counted together with the
 * heap they wait until there is something to collect: as with us the heap is small, until it is four times as large.
 */
async function tuneCollector(): Promise<void> {
  if (!atLeast(process.versions.node, tunedFrom)) return;
  const { setFlagsFromString } = await import("node:v8");
  setFlagsFromString("--external-memory-accounted-in-global-limit");
  setFlagsFromString("--heap-growing-percent=300");
}
