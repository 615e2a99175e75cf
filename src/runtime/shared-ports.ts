import { lookup } from "node:dns/promises";
import { readFileSync } from "node:fs";
import * as net from "node:net";
import { getSystemErrorName } from "node:util";
import type { Runtime } from "../types.ts";
import { atLeast } from "./at-least.ts";
import { endpoint } from "./endpoint.ts";

/** A port that several processes of this program accept at. */
export interface SharedPort {
  /** `null` where the first of them will choose it. */
  readonly port: number | null;
  /** What they inherit: a socket that is bound, and that nobody here accepts at. `null` where each makes its own. */
  readonly fd: number | null;
  close(): void;
}

interface BoundHandle {
  readonly fd: number;
  getsockname(into: { address?: string; port?: number }): number;
  close(): void;
}

/** What `node:cluster` makes its shared sockets with: bound, and not listened at. */
const { _createServerHandle: bind } = net as unknown as {
  _createServerHandle(address: string, port: number, family: number, fd: undefined): BoundHandle | number;
};

function failure(number: number): Error {
  const code = getSystemErrorName(number);
  return Object.assign(new Error(code), { code });
}

/** Since when Node lets several sockets share a port. */
const reusesPorts = "23.1.0";

/** Why this process can't share a port with another one that is started beside it; `null`: it can. */
export function whyNoSharing(runtime: Runtime): string | null {
  if (process.platform !== "linux") return `is for Linux: ${process.platform} does not deal out connections`;
  if (runtime.name === "node" && !atLeast(runtime.version, reusesPorts))
    return `takes Node ${reusesPorts} or newer, and this is ${runtime.version}`;
  if (runtime.name === "deno" && !hasUnstableNet()) return "takes Deno with --unstable-net";
  return null;
}

/** What the flag brings; asking for a port that is shared would end the process without it. */
const hasUnstableNet = (): boolean => "listenDatagram" in ((globalThis as { Deno?: object }).Deno ?? {});

/** Whether connections that wait at a socket that is closed go on to another one of the port (Linux 5.14). */
export function waitingConnectionsMove(): boolean {
  try {
    return readFileSync("/proc/sys/net/ipv4/tcp_migrate_req", "utf8").trim() !== "0";
  } catch {
    return false;
  }
}

/**
 * Rejects as listening does where the port is taken, or not to be had.
 *
 * @param withStrangers with whoever else shares it too
 */
export async function sharePort(
  runtime: Runtime,
  host: string,
  port: number,
  withStrangers: boolean,
): Promise<SharedPort> {
  if (runtime.name === "node" && !atLeast(runtime.version, reusesPorts)) {
    const { address, family } = await lookup(host);
    const handle = bind(address, port, family, undefined);
    if (typeof handle === "number") throw failure(handle);
    const name: { address?: string; port?: number } = {};
    // A port that is taken shows here at the earliest.
    const problem = handle.getsockname(name);
    if (problem !== 0) {
      handle.close();
      throw failure(problem);
    }
    return { port: endpoint(name.address, name.port).port, fd: handle.fd, close: () => handle.close() };
  }
  // Sockets that share a port share it with whoever else asks for that: whether somebody is there is asked first.
  if (port !== 0 && !withStrangers) {
    const alone = await runtime.listen(
      { host, port },
      { connection: (c) => c.abort(), acceptFailed: () => {} },
    );
    await alone.close();
  }
  return { port: port === 0 ? null : port, fd: null, close: () => {} };
}
