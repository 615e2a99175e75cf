import { resolve } from "node:path";
import { selfCommand } from "../../runtime/self-command.ts";
import type { Given } from "../client-options.ts";
import type { CliIo } from "../command.ts";

/** PEM text itself stays as it is; a path holds wherever the command is run. */
const absolute = (value: string): string => (value.includes("-----BEGIN ") ? value : resolve(value));

/**
 * A command line of ours for somebody else's configuration: what flags and environment say now is said in it, and
 * what they leave to the profile is left to the profile.
 */
export function commandAgain(args: readonly string[], given: Given, env: CliIo["env"]): string[] {
  const said = (flag: string, value: string | undefined, name: string, isPath: boolean): string[] => {
    const text = value ?? (env[name] === "" ? undefined : env[name]);
    return text === undefined ? [] : [flag, isPath ? absolute(text) : text];
  };
  return [
    ...selfCommand(),
    ...args,
    ...said("--router", given.router, "SALLYPORT_ROUTER", false),
    ...said("--ca", given.ca, "SALLYPORT_CA", true),
    ...said("--client-cert", given["client-cert"], "SALLYPORT_CLIENT_CERT", true),
    ...said("--client-key", given["client-key"], "SALLYPORT_CLIENT_KEY", true),
    ...said("--tunnel", given.tunnel, "SALLYPORT_TUNNEL", false),
  ];
}
