import { spawn } from "node:child_process";
import { answers, freePort } from "./ports.ts";
import { program } from "./programs.ts";

export interface Redis {
  readonly port: number;
  stop(): void;
}

/** A real server that keeps nothing. */
export async function startRedis(folder: string): Promise<Redis> {
  const port = await freePort();
  const server = spawn(
    program("redis-server"),
    ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
    { stdio: "ignore" },
  );
  await answers(port);
  return { port, stop: () => void server.kill("SIGKILL") };
}
