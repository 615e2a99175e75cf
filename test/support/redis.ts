import { spawn } from "node:child_process";
import { answers, freePort } from "./ports.ts";
import { program } from "./programs.ts";

export interface Redis {
  readonly port: number;
  stop(): void;
}

/** A real server that keeps nothing. @param at its port; a free one unless told */
export async function startRedis(
  folder: string,
  options: readonly string[] = [],
  at: number | null = null,
): Promise<Redis> {
  const port = at ?? (await freePort());
  const server = spawn(
    program("redis-server"),
    ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder, ...options],
    { stdio: "ignore" },
  );
  await answers(port);
  return { port, stop: () => void server.kill("SIGKILL") };
}

/** The same over TLS alone, for clients with a certificate of the folder's authority. */
export async function startSecureRedis(folder: string, options: readonly string[] = []): Promise<Redis> {
  const port = await freePort();
  const tls = ["--tls-cert-file", `${folder}/server.crt`, "--tls-key-file", `${folder}/server.key`];
  const server = spawn(
    program("redis-server"),
    [
      ...["--port", "0", "--tls-port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
      ...[...tls, "--tls-ca-cert-file", `${folder}/ca.crt`, ...options],
    ],
    { stdio: "ignore" },
  );
  await answers(port);
  return { port, stop: () => void server.kill("SIGKILL") };
}
