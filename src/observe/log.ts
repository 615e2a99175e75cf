import type { LineSink } from "../types.ts";
import { printable } from "./printable.ts";

export const logLevels = ["debug", "info", "warn", "error"] as const;
export type LogLevel = (typeof logLevels)[number];

/** Words for the operator, with facts beside them; never a secret. */
export type Log = Readonly<
  Record<LogLevel, (message: string, facts?: Readonly<Record<string, unknown>>) => void>
>;

const nothing = (): void => {};

/** For who has no operator to speak to. */
export const silentLog: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing };

/**
 * The operator's log: one line a message, JSON for machines or text for a terminal.
 *
 * @param always facts that stand in every line
 */
export function createLog(
  sink: LineSink,
  format: "json" | "text",
  level: LogLevel,
  always: Readonly<Record<string, unknown>> = {},
): Log {
  const from = logLevels.indexOf(level);
  const at =
    (name: LogLevel) =>
    (message: string, facts: Readonly<Record<string, unknown>> = {}): void => {
      if (logLevels.indexOf(name) < from) return;
      const time = new Date().toISOString();
      if (format === "json") {
        sink.write(JSON.stringify({ time, level: name, message, ...always, ...facts }));
        return;
      }
      const pairs = Object.entries({ ...always, ...facts }).map(
        ([key, value]) => ` ${key}=${typeof value === "string" ? value : JSON.stringify(value)}`,
      );
      // Some of it is from elsewhere: it must neither begin a line of its own nor move the cursor.
      sink.write(printable(`${time.slice(11, 19)} ${name.padEnd(5)} ${message}${pairs.join("")}`));
    };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}
