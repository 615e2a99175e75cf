import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { answers, freePort } from "./ports.ts";
import { program } from "./programs.ts";
import { run } from "./run.ts";

/** A reason to skip, or `false`. Where terminals are not of their group from the first, a server that is not root's fails. */
export const noTerminals: string | false =
  process.getuid?.() === 0 ||
  (existsSync("/proc/mounts") &&
    /^\S+ \/dev\/pts devpts \S*\bgid=/m.test(readFileSync("/proc/mounts", "utf8")))
    ? false
    : "an sshd that is not root's can give no terminal here";

export interface Sshd {
  readonly port: number;
  /** The private key that it lets in. */
  readonly key: string;
  /** What it has logged so far. */
  log(): string;
  stop(): void;
}

/**
 * A real server in a folder of its own, for the user who runs the tests.
 *
 * @param first lines of its configuration that count before those that it has anyway
 */
export async function startSshd(folder: string, first: readonly string[] = []): Promise<Sshd> {
  mkdirSync(folder, { mode: 0o700 });
  for (const name of ["host", "user"])
    await run(program("ssh-keygen"), ["-q", "-t", "ed25519", "-N", "", "-f", `${folder}/${name}`]);
  writeFileSync(`${folder}/authorized_keys`, readFileSync(`${folder}/user.pub`), { mode: 0o600 });
  if (process.getuid?.() === 0 && !existsSync("/run/sshd")) mkdirSync("/run/sshd", { mode: 0o755 });
  const port = await freePort();
  const settings = [
    ...first,
    `ListenAddress 127.0.0.1:${port}`,
    `HostKey ${folder}/host`,
    `AuthorizedKeysFile ${folder}/authorized_keys`,
    "UsePAM no",
    "StrictModes no",
    "PidFile none",
    "PasswordAuthentication no",
    "PermitRootLogin yes",
    "MaxStartups 200",
    "Subsystem sftp internal-sftp",
    // Nothing that the user's shell does at its start.
    `SetEnv HOME=${folder}`,
    "",
  ];
  writeFileSync(`${folder}/config`, settings.join("\n"));
  const server = spawn(program("sshd"), ["-D", "-f", `${folder}/config`, "-E", `${folder}/log`], {
    stdio: "ignore",
  });
  await answers(port);
  return {
    port,
    key: `${folder}/user`,
    log: () => readFileSync(`${folder}/log`, "utf8"),
    stop: () => void server.kill("SIGKILL"),
  };
}
