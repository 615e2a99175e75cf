import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ConnectionRecord } from "../../src/core/record.ts";
import { atEnd } from "./at-end.ts";
import { dialledBefore, dialledSoFar } from "./client.ts";
import { Authority, createAuthority } from "./pki.ts";

/** The runtime under test, which `npm test` names; alone, a spec runs on the Node that runs it. */
export const runtimeName = process.env.SALLYPORT_TEST_RUNTIME ?? "node";
const command = process.env.SALLYPORT_TEST_COMMAND ?? process.execPath;

const programArgs: Readonly<Record<string, readonly string[]>> = {
  node: ["dist/src/main.js"],
  "node-newest": ["dist/src/main.js"],
  deno: ["run", "-A", "src/main.ts"],
  bun: ["src/main.ts"],
};

/** How to start the program on the runtime under test. */
export const sallyport: readonly [string, ...string[]] = [command, ...(programArgs[runtimeName] ?? [])];

/** The same for every runtime there is, the one under test among them: for what two of them do together. */
export const everyRuntime: readonly {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
}[] = (
  JSON.parse(process.env.SALLYPORT_TEST_OTHERS ?? JSON.stringify([{ name: runtimeName, command }])) as {
    name: string;
    command: string;
  }[]
).map((one) => ({ name: one.name, command: [one.command, ...(programArgs[one.name] ?? [])] }));

/**
 * The environment without anything of ours, or a proxy that this machine may have, plus `more`. Deno is not to look for
 * updates: by a test's own proxy, if it has one.
 */
export function environment(more: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const clean = Object.entries(process.env).filter(([name]) => !/^SALLYPORT_|_proxy$/i.test(name));
  return { ...Object.fromEntries(clean), DENO_NO_UPDATE_CHECK: "1", ...more };
}

/** A folder with an authority, a server certificate and clients' certificates. */
export interface Site {
  readonly folder: string;
  readonly authority: Authority;
  /** Writes `NAME.crt` and `NAME.key`; gives the path without its ending. */
  save(name: string, pair: { readonly cert: string; readonly key: string }): string;
  remove(): void;
}

/** Workers whose router was killed write their last records there: what comes while it is emptied goes, too. */
function removeInTime(folder: string): void {
  for (let left = 40; ; left--) {
    try {
      rmSync(folder, { recursive: true, force: true });
      return;
    } catch (error) {
      if (left === 0) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50);
    }
  }
}

export async function createSite(names: readonly string[]): Promise<Site> {
  const folder = mkdtempSync(join(tmpdir(), "sallyport-test-"));
  const authority = await Authority.open(await createAuthority("Test"));
  const site: Site = {
    folder,
    authority,
    save: (name, pair) => {
      writeFileSync(join(folder, `${name}.crt`), pair.cert);
      writeFileSync(join(folder, `${name}.key`), pair.key, { mode: 0o600 });
      return join(folder, name);
    },
    remove: () => removeInTime(folder),
  };
  writeFileSync(join(folder, "ca.crt"), authority.certificate.toString("pem"));
  site.save("server", await authority.server(names, 86_400_000));
  site.save("alice", await authority.client({ commonName: "alice", groups: ["payments"] }, 86_400_000));
  return site;
}

export interface TestRouter {
  readonly port: number;
  readonly adminPort: number;
  /** Of the plain listener for connection upgrades; 0 where there is none. */
  readonly connectPort: number;
  readonly process: ChildProcess;
  readonly errors: () => string;
  /** For `records` and `record`: so that what a former test left behind is not taken for one's own. */
  now(): Moment;
  /** Every audit record so far, or those of connections that began since `from`. */
  records(from?: Moment): ConnectionRecord[];
  /** The first of these records that fits; waits for it, bounded. */
  record(fits: (record: ConnectionRecord) => boolean, from?: Moment): Promise<ConnectionRecord>;
  stop(): Promise<void>;
}

/** Of a router's log. A connection that began before it is none of those that began since, however late its record. */
export interface Moment {
  readonly lines: number;
  readonly dialled: number;
  readonly time: number;
}

const beginning: Moment = { lines: 0, dialled: 0, time: 0 };

function isSince(record: ConnectionRecord, from: Moment): boolean {
  if (record.event !== "connection" || from === beginning) return true;
  const own = /^127\.0\.0\.1:(\d+)$/.exec(record.source)?.[1];
  const before = own === undefined ? undefined : dialledBefore(Number(own));
  if (before !== undefined) return before >= from.dialled;
  // Another program's. Its times are a router's that may have been kept waiting between two looks at a clock.
  return Date.parse(record.time) - record.duration_ms >= from.time - 25;
}

/** What a file has in lines, each parsed once; a last one that is half there is left for later. */
function growing<T>(path: string): () => readonly T[] {
  const found: T[] = [];
  let at = 0;
  return () => {
    if (!existsSync(path) || statSync(path).size === at) return found;
    const bytes = readFileSync(path).subarray(at);
    const whole = bytes.lastIndexOf(10) + 1;
    at += whole;
    for (const line of bytes.subarray(0, whole).toString().split("\n"))
      if (line !== "") found.push(JSON.parse(line) as T);
    return found;
  };
}

/**
 * Starts `serve` on the runtime under test, from the environment alone, on free ports.
 *
 * @param how `through`: a program that starts the rest of its command line in its own place, such as `prlimit`;
 *   `on`: another way to start ours than from the sources
 */
export async function startRouter(
  site: Site,
  env: Readonly<Record<string, string>>,
  how: { readonly through?: readonly string[]; readonly on?: readonly string[] } = {},
): Promise<TestRouter> {
  const audit = join(site.folder, `audit-${Math.random().toString(36).slice(2)}.log`);
  const [program = "", ...args] = [...(how.through ?? []), ...(how.on ?? sallyport), "serve"];
  const child = spawn(program, args, {
    env: environment({
      SALLYPORT_LISTEN: "127.0.0.1:0",
      SALLYPORT_ADMIN_LISTEN: "127.0.0.1:0",
      SALLYPORT_CERT: join(site.folder, "server.crt"),
      SALLYPORT_KEY: join(site.folder, "server.key"),
      SALLYPORT_CLIENT_CA: join(site.folder, "ca.crt"),
      SALLYPORT_AUDIT_LOG: audit,
      SALLYPORT_LOG_FORMAT: "json",
      SALLYPORT_DRAIN_DELAY: "100ms",
      SALLYPORT_DRAIN_TIMEOUT: "5s",
      ...env,
    }),
    stdio: ["ignore", "ignore", "pipe"],
  });
  atEnd(() => child.kill("SIGKILL"));
  let said = "";
  const started = await new Promise<{ address: string; admin: string; connect?: string }>(
    (resolve, reject) => {
      const late = setTimeout(() => {
        reject(new Error(`the router did not start: ${said}`));
      }, 60_000);
      child.stderr.on("data", (chunk: Buffer) => {
        said += chunk.toString();
        const line = said.split("\n").find((text) => text.includes('"message":"listening"'));
        if (line === undefined) return;
        clearTimeout(late);
        resolve(JSON.parse(line) as { address: string; admin: string; connect?: string });
      });
      child.once("exit", (status) => {
        clearTimeout(late);
        reject(new Error(`the router ended with ${status}: ${said}`));
      });
    },
  );
  const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(":") + 1));
  const lines = growing<ConnectionRecord>(audit);
  const records = (from: Moment = beginning): ConnectionRecord[] =>
    lines()
      .slice(from.lines)
      .filter((record) => isSince(record, from));
  return {
    port: portOf(started.address),
    adminPort: portOf(started.admin),
    connectPort: started.connect === undefined ? 0 : portOf(started.connect),
    process: child,
    errors: () => said,
    now: () => ({ lines: lines().length, dialled: dialledSoFar(), time: Date.now() }),
    records,
    record: async (fits, from) => {
      for (let i = 0; i < 2400; i++) {
        const found = records(from).find(fits);
        if (found !== undefined) return found;
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
      throw new Error(`no such record among ${JSON.stringify(records(from), null, 1)}`);
    },
    stop: () =>
      new Promise((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null) return resolve();
        child.once("exit", () => resolve());
        child.kill("SIGKILL");
      }),
  };
}
