import { ConfigError } from "../errors.ts";
import { version } from "../version.ts";
import { type CliIo, UsageError } from "./command.ts";
import { commands, worker } from "./commands.ts";

const overview = (): string => `Usage: sallyport COMMAND [--help]

One TCP port for all of a company's infrastructure.

${commands.map(({ name, summary }) => `  ${name.padEnd(10)}${summary}`).join("\n")}

Version ${version}.`;

/** Runs one command and resolves with the exit status: 0 done, 1 failed at run time, 2 bad usage or configuration. */
export async function main(args: readonly string[], env: CliIo["env"]): Promise<number> {
  const io: CliIo = {
    env,
    out: (line) => void process.stdout.write(`${line}\n`),
    err: (line) => void process.stderr.write(`${line}\n`),
  };
  const [name, ...rest] = args;
  if (name === "--version") {
    io.out(version);
    return 0;
  }
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    (name === undefined ? io.err : io.out)(overview());
    return name === undefined ? 2 : 0;
  }
  const listed = [...commands, worker].find((one) => one.name === name);
  if (listed === undefined) {
    io.err(`sallyport: there is no command ${name}; "sallyport --help" lists them`);
    return 2;
  }
  const command = await listed.load();
  // Behind `--` stand another program's arguments.
  const own = rest.slice(0, rest.includes("--") ? rest.indexOf("--") : rest.length);
  if (own.includes("--help") || own.includes("-h")) {
    io.out(command.usage);
    return 0;
  }
  try {
    return await command.run(rest, io);
  } catch (error) {
    if (error instanceof ConfigError) {
      for (const problem of error.problems) io.err(`sallyport: ${problem.name}: ${problem.message}`);
      return 2;
    }
    io.err(`sallyport: ${error instanceof Error ? error.message : String(error)}`);
    return error instanceof UsageError ? 2 : 1;
  }
}
