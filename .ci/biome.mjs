// `npm run format` and `npm run lint`: the formatter is downloaded with the test tools, not with the program.
import { spawnSync } from "node:child_process";
import { biome, installTestTools, root } from "./prepare.mjs";

installTestTools();
const colours = process.stdout.isTTY ? [] : ["--colors=off"];
const { status } = spawnSync(process.execPath, [biome, ...process.argv.slice(2), ...colours], {
  cwd: root,
  stdio: "inherit",
});
process.exitCode = status ?? 1;
