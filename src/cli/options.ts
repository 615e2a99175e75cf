import { type ParseArgsConfig, parseArgs } from "node:util";
import { duration } from "../config/values.ts";
import { UsageError } from "./command.ts";

/** `parseArgs`, with its complaints as usage errors. */
export function options<T extends NonNullable<ParseArgsConfig["options"]>>(
  args: readonly string[],
  known: T,
) {
  try {
    return parseArgs({ args: [...args], options: known, allowPositionals: false, strict: true }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/**
 * The same, with arguments that are no flags.
 *
 * @param names what each of them is, all of them required
 */
export function optionsAnd<T extends NonNullable<ParseArgsConfig["options"]>>(
  args: readonly string[],
  known: T,
  names: readonly string[],
) {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: known,
      allowPositionals: true,
      strict: true,
    });
    const missing = names[positionals.length];
    if (missing !== undefined) throw new Error(`${missing} is missing`);
    if (positionals.length > names.length)
      throw new Error(`${positionals[names.length]} is one argument too many`);
    return { values, positionals };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** A flag that is a port; 0, the default, is any that is free. */
export function portFlag(value: string | undefined, flag: string): number {
  const port = value ?? "0";
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535)
    throw new UsageError(`${flag} ${port}: expected a port, or none for any that is free`);
  return Number(port);
}

/** A flag that must be there. */
export function required(value: string | undefined, flag: string, what: string): string {
  if (value === undefined || value === "") throw new UsageError(`${flag} is missing: expected ${what}`);
  return value;
}

/** Milliseconds of a duration flag, within bounds. */
export function lifetime(value: string | undefined, flag: string, fallbackMs: number, maxMs: number): number {
  if (value === undefined) return fallbackMs;
  // Days are what people say of server certificates.
  const days = /^(\d{1,5})d$/.exec(value)?.[1];
  const parsed =
    days === undefined
      ? duration.safeParse(value)
      : ({ success: true, data: Number(days) * 86_400_000 } as const);
  if (!parsed.success || parsed.data <= 0)
    throw new UsageError(`${flag} ${value} is no duration: expected one such as 8h, 30m or 90d`);
  if (parsed.data > maxMs)
    throw new UsageError(`${flag} ${value} is too long: at most ${Math.floor(maxMs / 86_400_000)}d`);
  return parsed.data;
}
