import { spawn } from "node:child_process";

export interface Finished {
  readonly status: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a program to its end, bounded; `input` is its standard input, a pause between the parts. */
export function run(
  command: string,
  args: readonly string[],
  options: {
    readonly input?: readonly string[];
    readonly env?: NodeJS.ProcessEnv;
    readonly cwd?: string;
    readonly ms?: number;
  } = {},
): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: options.env ?? process.env,
      cwd: options.cwd,
      stdio: ["pipe", "pipe", "pipe"],
    });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
    child.stdin.on("error", () => {});
    const late = setTimeout(() => child.kill("SIGKILL"), options.ms ?? 60_000);
    child.once("error", reject);
    child.once("close", (status) => {
      clearTimeout(late);
      resolve({ status, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() });
    });
    void (async () => {
      for (const part of options.input ?? []) {
        child.stdin.write(part);
        await new Promise((next) => setTimeout(next, 400));
      }
      child.stdin.end();
    })();
  });
}
