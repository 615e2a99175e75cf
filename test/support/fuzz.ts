import assert from "node:assert/strict";
import process from "node:process";

const { bun, deno, node } = process.versions as Record<string, string | undefined>;
const which = bun !== undefined ? 3 : deno !== undefined ? 2 : node?.startsWith("20.") === true ? 0 : 1;
const runtimes = 4;

/** `FUZZ_SEED=…` makes a failing run again, or a new one, on the same runtime: each begins elsewhere. */
export const baseSeed = Number(process.env.FUZZ_SEED ?? 20261123);
assert.ok(Number.isSafeInteger(baseSeed), "FUZZ_SEED must be a whole number");
export const seed = baseSeed + which;

/** What of so many inputs is this runtime's part: together they try all of them. */
export const share = (inputs: number): number => Math.ceil(inputs / runtimes);
