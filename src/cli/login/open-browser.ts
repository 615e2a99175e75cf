import { spawn } from "node:child_process";
import type { CliIo } from "../command.ts";

const openers: Readonly<Record<string, readonly [string, ...string[]]>> = {
  darwin: ["open"],
  win32: ["rundll32", "url.dll,FileProtocolHandler"],
};

/** Shows a page in the user's browser, if there is one: `$BROWSER`, or what the system has for it. */
export function openBrowser(url: string, env: CliIo["env"]): void {
  const [program, ...args] = env.BROWSER ? [env.BROWSER] : (openers[process.platform] ?? ["xdg-open"]);
  try {
    const child = spawn(program, [...args, url], { stdio: "ignore", detached: true });
    // The address is on the terminal as well.
    child.on("error", () => {});
    child.unref();
  } catch {
    // As above.
  }
}
