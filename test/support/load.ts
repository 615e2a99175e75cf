import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { atEnd } from "./at-end.ts";
import type { Site } from "./router.ts";

/** Clients that connect all the time, in a process of their own. */
export interface Load {
  /** The service that routes are to lead to. */
  readonly servicePort: number;
  begin(routerPort: number): void;
  /** What came of all connections. */
  end(): Promise<{ readonly done: number; readonly failures: readonly string[] }>;
}

/** @param through a program that starts the rest of its command line in its own place */
export async function startLoad(site: Site, name: string, through: readonly string[] = []): Promise<Load> {
  const [program = "", ...args] = [
    ...through,
    process.execPath,
    "dist/test/support/steady-load.js",
    site.folder,
    name,
  ];
  const child = spawn(program, args, { stdio: ["pipe", "pipe", "inherit"] });
  atEnd(() => child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => String((await lines.next()).value);
  const servicePort = Number(await next());
  return {
    servicePort,
    begin: (routerPort) => void child.stdin.write(`${routerPort}\n`),
    end: async () => {
      child.stdin.write("enough\n");
      return JSON.parse(await next()) as { done: number; failures: string[] };
    },
  };
}
