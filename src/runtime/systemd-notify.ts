import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";

/** A service manager that does not listen must not keep the router waiting. */
const tellMs = 5000;

/**
 * Sends assignments to the service manager (sd_notify(3)). Its socket takes datagrams, and no runtime has those for Unix
 * sockets: so the program that comes with it does it.
 */
export function notifyServiceManager(assignments: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile("systemd-notify", [...assignments], { timeout: tellMs }, (error, _, said) => {
      if (error === null) resolve();
      else reject(new Error(said.trim() === "" ? error.message : said.trim()));
    });
  });
}

/**
 * Microseconds since the machine started, not before now: a hundredth of a second late at most. Runtimes differ in what
 * their own monotonic clocks count from.
 */
export function monotonicMicros(): number {
  const [seconds = "0"] = readFileSync("/proc/uptime", "utf8").split(" ");
  return Math.ceil((Number(seconds) + 0.01) * 1_000_000);
}
