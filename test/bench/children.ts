import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";

/** Everything started and not yet ended, each the head of a process group of its own. */
const living = new Set<ChildProcess>();

/** Starts a program with a process group of its own, so that what it starts in turn ends with it. */
export function start(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
  const child = spawn(command, args, { ...options, detached: true });
  living.add(child);
  child.once("exit", () => living.delete(child));
  child.once("error", () => living.delete(child));
  return child;
}

function kill(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  } catch {
    // Nothing of it was left.
  }
}

/** Ends it and whatever it started. */
export async function end(child: ChildProcess): Promise<void> {
  const running = child.exitCode === null && child.signalCode === null && child.pid !== undefined;
  const gone = running ? new Promise((resolve) => child.once("exit", resolve)) : undefined;
  kill(child);
  await gone;
}

/** Ends everything at once, also where nothing can be waited for. */
export function endAll(): void {
  for (const child of living) kill(child);
}

/** Resolves when it ends well; after `withinMs` it is ended. */
export function finished(child: ChildProcess, what: string, withinMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      reject(new Error(`${what} took longer than ${withinMs / 1000} s`));
      void end(child);
    }, withinMs);
    child.once("exit", (status, signal) => {
      clearTimeout(late);
      if (status === 0) resolve();
      else reject(new Error(`${what} ended with ${status ?? signal}`));
    });
  });
}

/** The first thing it says on standard output. */
export function firstOutput(child: ChildProcess, what: string, withinMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => {
      reject(new Error(`${what} said nothing for ${withinMs / 1000} s`));
      void end(child);
    }, withinMs);
    const done = (): void => clearTimeout(late);
    child.stdout?.once("data", (chunk) => {
      done();
      resolve(String(chunk));
    });
    child.once("exit", (status, signal) => {
      done();
      reject(new Error(`${what} ended with ${status ?? signal}`));
    });
  });
}

/** What a script says as JSON, which ends then. */
export async function answerOf<T>(
  [program, ...args]: readonly [string, ...string[]],
  what: string,
  withinMs: number,
): Promise<T> {
  const child = start(program, args, { stdio: ["ignore", "pipe", "inherit"] });
  const answer = JSON.parse(await firstOutput(child, what, withinMs)) as T;
  await finished(child, what, withinMs);
  return answer;
}
