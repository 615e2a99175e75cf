import { spawn, spawnSync } from "node:child_process";
import { chownSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { answers, freePort } from "./ports.ts";
import { program } from "./programs.ts";

export interface MariaDb {
  readonly port: number;
  readonly socket: string;
  stop(): void;
}

/** A real server with the user `alice`, whose password is `secret`. */
export async function startMariaDb(more: readonly string[] = []): Promise<MariaDb> {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-maria-"));
  const socket = join(folder, "s");
  const root = process.getuid?.() === 0;
  const user = root && /^mysql:/m.test(readFileSync("/etc/passwd", "utf8")) ? "mysql" : undefined;
  if (user !== undefined) {
    const [, , uid = "0", gid = "0"] =
      /^mysql:.*$/m.exec(readFileSync("/etc/passwd", "utf8"))?.[0].split(":") ?? [];
    chownSync(folder, Number(uid), Number(gid));
  }
  const as = user === undefined ? [] : [`--user=${user}`];
  // A server that starts removes what it takes for its own leftovers, in whatever folder it has for what is temporary.
  const folders = [`--datadir=${join(folder, "data")}`, `--tmpdir=${folder}`];
  const made = spawnSync(
    program("mariadb-install-db"),
    ["--no-defaults", ...folders, ...as, "--skip-test-db", "--auth-root-authentication-method=normal"],
    { encoding: "utf8" },
  );
  if (made.status !== 0) throw new Error(`mariadb-install-db: ${made.stderr}`);
  const port = await freePort();
  const server = spawn(
    program("mariadbd"),
    [
      "--no-defaults",
      ...folders,
      ...as,
      `--socket=${socket}`,
      `--port=${port}`,
      "--bind-address=127.0.0.1",
      `--pid-file=${join(folder, "pid")}`,
      "--skip-name-resolve",
      "--innodb-flush-method=fsync",
      ...more,
    ],
    { stdio: "ignore" },
  );
  await answers(port);
  const granted = spawnSync(
    program("mysql"),
    [
      "--no-defaults",
      `--socket=${socket}`,
      "-uroot",
      "-e",
      "create user alice@'127.0.0.1' identified by 'secret'; grant all on *.* to alice@'127.0.0.1'",
    ],
    { encoding: "utf8" },
  );
  if (granted.status !== 0) throw new Error(`mysql: ${granted.stderr}`);
  return {
    port,
    socket,
    stop: () => {
      server.once("exit", () => rmSync(folder, { recursive: true, force: true }));
      server.kill("SIGKILL");
    },
  };
}
