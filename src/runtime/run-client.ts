import { spawn } from "node:child_process";
import { constants } from "node:os";

const passedOn = ["SIGTERM", "SIGHUP"] as const;
/** What a terminal sends to every program in front: the client's to answer (psql cancels a query). */
const ignored = ["SIGINT", "SIGQUIT"] as const;

/**
 * Runs a program on our own terminal and resolves with its exit status, 128 and the number of a signal that ended it.
 * Rejects where it can't be started.
 */
export function runClient(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: "inherit", env: env as NodeJS.ProcessEnv });
    const pass = (signal: NodeJS.Signals): void => void child.kill(signal);
    const ignore = (): void => {};
    for (const signal of passedOn) process.on(signal, pass);
    for (const signal of ignored) process.on(signal, ignore);
    const done = (): void => {
      for (const signal of passedOn) process.off(signal, pass);
      for (const signal of ignored) process.off(signal, ignore);
    };
    child.once("error", (error: Error & { readonly code?: string }) => {
      done();
      reject(error.code === "ENOENT" ? new Error(`${command} is not installed, or not in PATH`) : error);
    });
    child.once("close", (status, signal) => {
      done();
      resolve(status ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
}
