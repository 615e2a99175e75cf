import { lookup } from "node:dns/promises";
import * as net from "node:net";
import { getSystemErrorName } from "node:util";
import type { Runtime } from "../types.ts";
import { endpoint } from "./endpoint.ts";
import { atLeast } from "./select.ts";

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

/** Rejects as listening does where the port is taken, or not to be had. */
export async function sharePort(runtime: Runtime, host: string, port: number): Promise<SharedPort> {
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
  if (port !== 0) {
    const alone = await runtime.listen(
      { host, port },
      { connection: (c) => c.abort(), acceptFailed: () => {} },
    );
    await alone.close();
  }
  return { port: port === 0 ? null : port, fd: null, close: () => {} };
}
