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

function run(command, args, cwd) {
  // Standard output belongs to the command that is to run afterwards.
  const { status, error } = spawnSync(command, args, {
    cwd,
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32",
  });
  if (status === 0) return;
  console.error(
    `sallyport: ${command} ${args.join(" ")} failed${error === undefined ? "" : `: ${error.message}`}`,
  );
  process.exit(1);
}

/** `npm ci` in a folder, unless what its lock file names is installed already. */
export function install(folder) {
  const stamp = join(folder, "node_modules", ".package-lock.json");
  if (modified(stamp) >= modified(join(folder, "package-lock.json"))) return;
  run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], folder);
  if (existsSync(stamp)) utimesSync(stamp, new Date(), new Date());
}

/** Compiles to `dist/`, unless nothing has changed. */
export function compile() {
  const stamp = join(root, "dist", ".compiled");
  const sources = ["src", "routes", "test"].map((folder) => newest(join(root, folder)));
  if (modified(stamp) > Math.max(...sources, modified(join(root, "tsconfig.json")))) return;
  run(process.execPath, [join(root, "node_modules", "typescript", "bin", "tsc"), "-p", root], root);
  writeFileSync(stamp, "");
}

export function prepare() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 20)) {
    console.error(`sallyport: Node ${process.versions.node} is too old: 20.20 or newer is needed`);
    process.exit(1);
  }
  install(root);
  compile();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) prepare();
