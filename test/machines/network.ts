import { execFileSync } from "node:child_process";

/** Machines of a test are network namespaces on one bridge; all are named so, and gone afterwards. */
const prefix = "sally-";
const bridge = "lan";

export interface Machine {
  readonly name: string;
  readonly address: string;
  /** In front of a command that is to run there. */
  readonly there: readonly string[];
}

const ip = (...args: readonly string[]): void => {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] });
};

export const machine = (name: string, number: number): Machine => ({
  name,
  address: `10.77.0.${number}`,
  there: ["ip", "netns", "exec", `${prefix}${name}`],
});

/** Takes the right to, and `ip` of iproute2. */
export function connect(machines: readonly Machine[]): void {
  const lan = `${prefix}${bridge}`;
  ip("netns", "add", lan);
  ip("-n", lan, "link", "add", bridge, "type", "bridge");
  ip("-n", lan, "link", "set", bridge, "up");
  for (const { name, address } of machines) {
    const own = `${prefix}${name}`;
    ip("netns", "add", own);
    ip("-n", lan, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", own);
    ip("-n", lan, "link", "set", name, "master", bridge, "up");
    ip("-n", own, "addr", "add", `${address}/24`, "dev", "eth0");
    for (const link of ["lo", "eth0"]) ip("-n", own, "link", "set", link, "up");
  }
}

export function disconnect(machines: readonly Machine[]): void {
  for (const name of [...machines.map((one) => one.name), bridge]) {
    try {
      ip("netns", "del", `${prefix}${name}`);
    } catch {
      // It was never made.
    }
  }
}

/** What one says to the other is lost from now on, without a word; `mend` ends that. */
export function cut(from: Machine, to: Machine): { mend(): void } {
  const route = ["blackhole", `${to.address}/32`];
  ip("-n", `${prefix}${from.name}`, "route", "add", ...route);
  return { mend: () => ip("-n", `${prefix}${from.name}`, "route", "del", ...route) };
}
