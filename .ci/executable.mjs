// `npm run executable [-- --with bun|deno] [--out FILE]`: the program and its runtime in one file.
import { spawnSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { parseArgs } from "node:util";
import { bun, deno, installDependencies, installTestTools, root } from "./prepare.mjs";

const { values } = parseArgs({
  options: {
    with: { type: "string", default: "bun" },
    out: { type: "string", default: join(root, "dist", "sallyport") },
  },
});
const entry = join(root, "src", "main.ts");
const makers = {
  bun: () => [bun(), ["build", "--compile", `--outfile=${values.out}`, entry]],
  // Fetches the runtime's half of the file from Deno's makers, the first time.
  deno: () => [deno(), ["compile", "-A", "--unstable-net", "--no-check", "--output", values.out, entry]],
};
const maker = makers[values.with];
if (maker === undefined) {
  console.error(`--with ${values.with}: expected ${Object.keys(makers).join(" or ")}`);
  process.exit(2);
}

installDependencies();
installTestTools();
mkdirSync(dirname(values.out), { recursive: true });
const [command, args] = maker();
if (command === undefined) {
  console.error(`${values.with}: its package has no binary for ${process.platform}-${process.arch}`);
  process.exit(1);
}
const { status } = spawnSync(command, args, { cwd: root, stdio: ["ignore", 2, 2] });
if (status !== 0) process.exit(1);
console.log(relative(process.cwd(), values.out));
