import { answerOf } from "./children.ts";
import type { Step } from "./scale.ts";
import { runtimeCommand } from "./subjects.ts";
import { median } from "./transfer.ts";

export const scales = {
  routes: [10, 1000, 100_000],
  revocations: [1000, 1_000_000],
} as const;
export type Scale = keyof typeof scales;
/** By runtime. */
export type Steps = Readonly<Record<string, readonly Step[]>>;

const oneRunMs = 120_000;

/** Medians over the rounds, a process each; only our runtimes have a script of their own to run. */
export async function measureScale(
  scale: Scale,
  names: readonly string[],
  root: string,
  folder: string,
  rounds: number,
): Promise<Steps> {
  const steps: Record<string, Step[]> = {};
  for (const name of names) {
    const command = runtimeCommand(name, root, "test/bench/scale");
    if (command === null) continue;
    const of: Step[] = [];
    for (const count of scales[scale]) {
      const all: Step[] = [];
      for (let round = 0; round < rounds; round++)
        all.push(
          await answerOf<Step>([...command, scale, String(count), folder], `${scale} ${count}`, oneRunMs),
        );
      const middle = (what: keyof Step): number => median(all.map((step) => step[what]));
      of.push({ count, read_us: middle("read_us"), look_us: middle("look_us"), bytes: middle("bytes") });
    }
    steps[name] = of;
  }
  return steps;
}

export function printScale(scale: Scale, steps: Steps): string {
  const lines = [`${scale}: CPU of one look, of reading one, and memory of one`];
  for (const [name, of] of Object.entries(steps)) {
    const cells = of.map(
      ({ count, read_us, look_us, bytes }) =>
        `${count}: ${look_us.toFixed(2)} µs, ${read_us.toFixed(1)} µs, ${(bytes / 1024).toFixed(1)} KiB`,
    );
    lines.push(`  ${name.padEnd(12)}${cells.join("   ")}`);
  }
  return lines.join("\n");
}
