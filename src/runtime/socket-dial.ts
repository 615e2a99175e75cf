import { connect, type LookupFunction, type OnReadOpts, type Socket } from "node:net";
import { deadline } from "../core/deadline.ts";
import { Refusal } from "../errors.ts";
import type { DialTarget } from "../types.ts";
import type { Addresses } from "./handle-net.ts";

/** After so long without a word the peer's system is asked whether it is still there, as far as ours can be told. */
export const keepAliveMs = 30_000;

/** What a dial that failed says: the same on every runtime. */
export const unreachable = (target: DialTarget, error: unknown): Refusal =>
  new Refusal(
    "upstream_unreachable",
    `${target.host}:${target.port}: ${error instanceof Error && error.message !== "" ? error.message : String(error)}`,
    { cause: error },
  );

export const noneWithin = (ms: number): Error => new Error(`no connection within ${ms} ms`);
export const tooLate = (target: DialTarget): Error => noneWithin(target.withinMs);

/** Asked for one alone where a flag has Node try no others. */
const known =
  (addresses: Addresses): LookupFunction =>
  (_host, { all }, found) => {
    const [first] = addresses;
    if (all === true || first === undefined) found(null, [...addresses]);
    else found(null, first.address, first.family);
  };

/** @param addresses of the host, where they are known already */
export function dialSocket(
  target: DialTarget,
  reads: OnReadOpts | undefined,
  addresses?: Addresses,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: target.host,
      port: target.port,
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveMs,
      ...(reads === undefined ? {} : { onread: reads }),
      ...(addresses === undefined ? {} : { lookup: known(addresses) }),
    });
    const late = deadline(target.withinMs, () => socket.destroy(tooLate(target)));
    const failed = (error: Error): void => {
      late.cancel();
      reject(unreachable(target, error));
    };
    socket.once("error", failed);
    socket.once("connect", () => {
      late.cancel();
      socket.off("error", failed);
      resolve(socket);
    });
  });
}

export const dialUnixSocket = (path: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect({ path, allowHalfOpen: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      resolve(socket);
    });
  });
