import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import type { StateSettings } from "../../src/state/redis-link.ts";
import { atEnd } from "./at-end.ts";
import { createAuthority } from "./pki.ts";
import { answers, freePort } from "./ports.ts";
import { program } from "./programs.ts";
import type { Site, TestRouter } from "./router.ts";

/** Waits for something to become so, bounded. */
export async function settled(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 2400; i++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`it never came to ${holds}`);
}

/** A real Redis for routers' state, which can be killed, revived and stopped in its tracks. */
export class StateServer {
  readonly port: number;
  readonly settings: Omit<StateSettings, "secret">;
  /** PEM: whose certificate it does not have. */
  readonly otherAuthority: string;
  readonly #args: readonly string[];
  #process: ChildProcess | undefined;

  private constructor(
    port: number,
    settings: Omit<StateSettings, "secret">,
    other: string,
    args: readonly string[],
  ) {
    this.port = port;
    this.settings = settings;
    this.otherAuthority = other;
    this.#args = args;
    atEnd(() => this.stop());
  }

  static async start(
    site: Site,
    {
      tls = false,
      password = null,
      more = [],
    }: {
      readonly tls?: boolean;
      readonly password?: string | null;
      readonly more?: readonly string[];
    } = {},
  ): Promise<StateServer> {
    const port = await freePort();
    const { folder } = site;
    const listen = tls
      ? [
          ...["--port", "0", "--tls-port", String(port), "--tls-auth-clients", "no"],
          ...["--tls-cert-file", `${folder}/server.crt`, "--tls-key-file", `${folder}/server.key`],
          ...["--tls-ca-cert-file", `${folder}/ca.crt`],
        ]
      : ["--port", String(port)];
    const args = [...listen, "--bind", "127.0.0.1", "--save", "", "--dir", folder, ...more];
    if (password !== null) args.push("--requirepass", password);
    const settings = {
      host: tls ? "localhost" : "127.0.0.1",
      port,
      tls: tls ? { anchors: [readFileSync(`${folder}/ca.crt`, "utf8")] } : null,
      username: password === null ? null : "default",
      password,
      database: 0,
    };
    const other = (await createAuthority("Other")).cert;
    const server = new StateServer(port, settings, other, args);
    await server.revive();
    return server;
  }

  /** Empty, as a server that keeps nothing is. */
  async revive(): Promise<void> {
    this.#process = spawn(program("redis-server"), this.#args, { stdio: "ignore" });
    await answers(this.port);
  }

  async restart(): Promise<void> {
    const ended = this.#process === undefined ? null : once(this.#process, "exit");
    this.kill();
    await ended;
    await this.revive();
  }

  kill(): void {
    this.#signal("SIGKILL");
  }

  /** It is there, and says nothing. */
  pause(): void {
    this.#signal("SIGSTOP");
  }

  resume(): void {
    this.#signal("SIGCONT");
  }

  stop(): void {
    this.kill();
    this.#process = undefined;
  }

  #signal(signal: NodeJS.Signals): void {
    const { pid, exitCode, signalCode } = this.#process ?? {};
    // By its number: not every runtime sends a second signal to a child.
    if (pid !== undefined && exitCode === null && signalCode === null) process.kill(pid, signal);
  }
}

/** What a page of the docs has in a block of that language, the first one that holds `having`. */
export function block(page: string, language: string, having = ""): string {
  const text = readFileSync(`docs/${page}`, "utf8");
  const found = [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, "gm"))];
  const [, inside] = found.find(([, one = ""]) => one.includes(having)) ?? [];
  if (inside === undefined) throw new Error(`${page} has no such block of ${language}`);
  return inside;
}

/** A real HAProxy that hands on TCP as the guide says, to so many routers one after the other. */
export async function startTcpBalancer(
  site: Site,
  routers: readonly TestRouter[],
): Promise<{ readonly port: number; stop(): void }> {
  const port = await freePort();
  const [server = ""] = /^ *server gate1 .*$/m.exec(block("several-machines.md", "haproxy")) ?? [];
  const text = block("several-machines.md", "haproxy")
    .replace("bind :443", `bind 127.0.0.1:${port}`)
    .replace(/^ *server gate\d .*\n/gm, "");
  const servers = routers.map((router, i) =>
    server
      .replace("gate1 10.0.0.5:8443", `gate${i + 1} 127.0.0.1:${router.port}`)
      .replace("check port 8080", `check port ${router.adminPort} inter 200ms`),
  );
  const path = `${site.folder}/haproxy-${port}.cfg`;
  const limits = "defaults\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n";
  writeFileSync(path, `${limits}${text}${servers.join("\n")}\n`);
  const child = spawn(program("haproxy"), ["-db", "-f", path], { stdio: "ignore" });
  const stop = (): void => void child.kill("SIGKILL");
  atEnd(stop);
  await answers(port);
  return { port, stop };
}
