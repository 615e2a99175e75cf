import { answerOf } from "./children.ts";
import type { StepCosts } from "./steps.ts";
import { runtimeCommand } from "./subjects.ts";
import { median } from "./transfer.ts";

/** By runtime. */
export type CostsByRuntime = Readonly<Record<string, StepCosts>>;

const oneRunMs = 120_000;

/** Medians over the rounds, a process each; only our runtimes have a script of their own to run. */
export async function measureSteps(
  names: readonly string[],
  root: string,
  folder: string,
  rounds: number,
): Promise<CostsByRuntime> {
  const found: Record<string, StepCosts> = {};
  for (const name of names) {
    const command = runtimeCommand(name, root, "test/bench/steps");
    if (command === null) continue;
    const all: StepCosts[] = [];
    for (let round = 0; round < rounds; round++)
      all.push(await answerOf<StepCosts>([...command, folder], "the steps", oneRunMs));
    const middle = (step: string): number => median(all.map((costs) => costs[step] ?? Number.NaN));
    found[name] = Object.fromEntries(Object.keys(all[0] ?? {}).map((step) => [step, middle(step)]));
  }
  return found;
}

export function printSteps(costs: CostsByRuntime): string {
  const names = Object.keys(costs);
  const [first = {}] = Object.values(costs);
  const row = (head: string, cells: readonly string[]): string =>
    `  ${head.padEnd(30)}${cells.map((cell) => cell.padStart(13)).join("")}`;
  return [
    "our own steps on a connection's way, compiled: µs of CPU",
    row("", names),
    ...Object.keys(first).map((step) =>
      row(
        step,
        names.map((name) => (costs[name]?.[step] ?? Number.NaN).toFixed(2)),
      ),
    ),
  ].join("\n");
}
