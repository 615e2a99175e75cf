import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { atEnd } from "./at-end.ts";
import { answers, freePort } from "./ports.ts";
import type { Site } from "./router.ts";

const modules = resolve("test/runtimes/node_modules");

/** A program in a package of a platform's own. */
function platformProgram(scope: string, ...paths: readonly string[]): string | undefined {
  const folder = join(modules, scope);
  const packages = existsSync(folder) ? readdirSync(folder) : [];
  return packages
    .flatMap((name) => paths.map((path) => join(folder, name, path)))
    .find((path) => existsSync(path));
}

export const workerd = platformProgram("@cloudflare", "bin/workerd");
const bun = platformProgram("@oven", "bin/bun");

/** A reason to skip, or `false`. */
export const noEdge: string | false =
  workerd === undefined || bun === undefined
    ? "workerd or the bundler has no binary for this platform"
    : false;

/** What `wrangler.toml` says of the Worker. */
export const worker = readWorker(readFileSync("wrangler.toml", "utf8"));

function readWorker(toml: string) {
  const [top = "", variables = ""] = toml.split(/^\[vars\]$/m);
  const settings = (part: string): Readonly<Record<string, string>> =>
    Object.fromEntries(
      [...part.matchAll(/^(\w+) = ("[^"\\]*")$/gm)].map(([, name = "", value = '""']) => [
        name,
        JSON.parse(value),
      ]),
    );
  const { main = "", compatibility_date: compatibilityDate = "" } = settings(top);
  return { main, compatibilityDate, variables: settings(variables) };
}

export interface Edge {
  readonly port: number;
  stop(): void;
}

const text = (value: string): string => JSON.stringify(value);

/** The Worker in the runtime that Cloudflare's network runs, with these variables, over HTTPS. */
export async function startEdge(site: Site, variables: Readonly<Record<string, string>>): Promise<Edge> {
  if (workerd === undefined || bun === undefined) throw new Error("there is no workerd");
  const port = await freePort();
  const folder = `${site.folder}/edge-${port}`;
  mkdirSync(folder);
  const built = spawnSync(
    bun,
    [
      "build",
      worker.main,
      "--target=browser",
      "--external=cloudflare:sockets",
      `--outfile=${folder}/worker.js`,
    ],
    { encoding: "utf8" },
  );
  if (built.status !== 0) throw new Error(`bundling: ${built.stderr}`);
  const bindings = Object.entries(variables).map(
    ([name, value]) => `(name = ${text(name)}, text = ${text(value)})`,
  );
  writeFileSync(
    `${folder}/config.capnp`,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "edge", worker = .edge),
    (name = "internet", network = (allow = ["public", "private"])),
  ],
  sockets = [(
    name = "https",
    address = "127.0.0.1:${port}",
    https = (options = (), tlsOptions = (keypair = (
      privateKey = embed "../server.key",
      certificateChain = embed "../server.crt",
    ))),
    service = "edge",
  )],
);
const edge :Workerd.Worker = (
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = ${text(worker.compatibilityDate)},
  bindings = [${bindings.join(", ")}],
);
`,
  );
  const child = spawn(workerd, ["serve", `${folder}/config.capnp`], { stdio: ["ignore", "ignore", "pipe"] });
  atEnd(() => child.kill("SIGKILL"));
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += chunk;
  });
  await Promise.race([
    answers(port),
    new Promise<never>((_, reject) =>
      child.once("exit", (s) => reject(new Error(`workerd ended with ${s}: ${said}`))),
    ),
  ]);
  return { port, stop: () => void child.kill("SIGKILL") };
}
