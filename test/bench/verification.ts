import { answerOf } from "./children.ts";
import { runtimeCommand } from "./subjects.ts";
import { median } from "./transfer.ts";

/** CPU time of one verification, microseconds: at first sight of leaf, intermediate and root, and from the cache. */
export interface VerificationCost {
  readonly first_us: number;
  readonly cached_us: number;
}

const oneRunMs = 120_000;

/** Medians over the rounds, for each runtime; peers verify in their TLS library and are not measured. */
export async function measureVerification(
  names: readonly string[],
  root: string,
  rounds: number,
): Promise<Readonly<Record<string, VerificationCost>>> {
  const costs: Record<string, VerificationCost[]> = {};
  for (let round = 0; round < rounds; round++) {
    for (const name of names) {
      const command = runtimeCommand(name, root, "test/bench/verify");
      if (command !== null)
        costs[name] = [
          ...(costs[name] ?? []),
          await answerOf<VerificationCost>(command, "the verification", oneRunMs),
        ];
    }
  }
  return Object.fromEntries(
    Object.entries(costs).map(([name, all]) => [
      name,
      {
        first_us: median(all.map(({ first_us }) => first_us)),
        cached_us: median(all.map(({ cached_us }) => cached_us)),
      },
    ]),
  );
}

export function printVerification(costs: Readonly<Record<string, VerificationCost>>): string {
  const rows = Object.entries(costs).map(
    ([name, { first_us, cached_us }]) =>
      `${name.padEnd(12)}${(first_us / 1000).toFixed(2).padStart(14)} ms${cached_us.toFixed(2).padStart(14)} µs`,
  );
  return [
    "verification, CPU".padEnd(12),
    `${"".padEnd(12)}${"first sight".padStart(17)}${"cached".padStart(17)}`,
    ...rows,
  ].join("\n");
}
