import { realpathSync } from "node:fs";

declare const Deno: { readonly build: { readonly standalone?: boolean } } | undefined;

/** True in a single executable, which is runtime and program in one. */
const isSingle = (): boolean => {
  if (typeof Deno !== "undefined") return Deno.build.standalone === true;
  // Where Bun keeps what is compiled in.
  return /^(\/\$bunfs\/|[A-Z]:[\\/]~BUN[\\/])/.test(process.argv[1] ?? "");
};

/**
 * The command line that starts another process like this one, with the runtime's flags of this one as far as it tells.
 */
export function likeThisOne(): string[] {
  if (isSingle()) return [process.execPath];
  const [runtime = "", ...rest] = selfCommand();
  // Deno keeps sockets that share a port behind a flag.
  if (typeof Deno !== "undefined") return [runtime, "run", "-A", "--unstable-net", ...rest.slice(-1)];
  return [runtime, ...process.execArgv, ...rest];
}

/** The command line that starts this program again, for configuration files of others. */
export function selfCommand(): string[] {
  if (isSingle()) return [process.execPath];
  const script = realpathSync(process.argv[1] ?? "");
  return typeof Deno === "undefined" ? [process.execPath, script] : [process.execPath, "run", "-A", script];
}
