import { ADDRCONFIG, type LookupAddress } from "node:dns";
import { lookup } from "node:dns/promises";
import { isIP, type Server } from "node:net";
import { deadline } from "../core/deadline.ts";
import type { DialTarget, ListenHandlers } from "../types.ts";
import { noEndpoint } from "./endpoint.ts";
import { HandleConnection, nameOf } from "./handle-connection.ts";
import { type Handles, type SocketHandle, systemError } from "./handles.ts";
import { keepAliveMs } from "./socket-dial.ts";

interface ListeningHandle {
  onconnection?: (this: ListeningHandle, failure: number, client: SocketHandle | undefined) => void;
}

/**
 * Has a server that listens hand over the handles that it accepts, before it makes sockets of them.
 *
 * @returns whether it does so from now on
 */
export function acceptHandles(
  server: Server,
  handles: Handles,
  { mayCome, connection }: ListenHandlers,
): boolean {
  const listening = (server as { readonly _handle?: ListeningHandle | null })._handle;
  const accept = listening?.onconnection;
  if (listening === null || listening === undefined || typeof accept !== "function") return false;
  listening.onconnection = function (failure, client) {
    if (failure !== 0 || client === undefined) {
      accept.call(this, failure, client);
      return;
    }
    // A Unix socket has none. Whoever is gone already has no name either: there is nothing to serve or to record.
    const remote = client.getpeername === undefined ? noEndpoint : nameOf(client, "getpeername");
    if (remote === undefined) {
      client.close();
      return;
    }
    if (mayCome?.(remote) === false) {
      if (client.reset?.() !== 0) client.close();
      return;
    }
    client.setNoDelay?.(true);
    connection(new HandleConnection(handles, client, remote));
  };
  return true;
}

/** What a dial gives instead of a connection, where there are several to choose from. */
export type Addresses = readonly LookupAddress[];

/**
 * Dials the one address that a host has. Where it has several, in which order they are tried and for how long is
 * `node:net`'s affair. Rejects as that does.
 */
export function dialHandle(
  handles: Handles,
  { host, port, withinMs, preamble }: DialTarget,
  tooLate: () => Error,
): Promise<HandleConnection | Addresses> {
  return new Promise((resolve, reject) => {
    let handle: SocketHandle | undefined;
    let over = false;
    const late = deadline(withinMs, () => {
      over = true;
      handle?.close();
      reject(tooLate());
    });
    const fails = (error: unknown): void => {
      if (over) return;
      over = true;
      late.cancel();
      handle?.close();
      reject(error);
    };
    const connect = (address: string, family: number): void => {
      const dialled = new handles.Socket(handles.socketType);
      handle = dialled;
      const request = new handles.ConnectRequest();
      const refused = (status: number): void => fails(systemError("connect", status, ` ${address}:${port}`));
      request.oncomplete = (status) => {
        if (over) return;
        if (status !== 0) {
          refused(status);
          return;
        }
        late.cancel();
        dialled.setNoDelay?.(true);
        dialled.setKeepAlive?.(true, keepAliveMs / 1000);
        const connection = new HandleConnection(handles, dialled);
        if (preamble !== undefined) connection.push(preamble);
        resolve(connection);
      };
      const status =
        family === 6 ? dialled.connect6(request, address, port) : dialled.connect(request, address, port);
      if (status !== 0) refused(status);
    };
    const family = isIP(host);
    if (family !== 0) {
      connect(host, family);
      return;
    }
    lookup(host, { all: true, hints: ADDRCONFIG }).then((addresses) => {
      if (over) return;
      const [only] = addresses;
      if (addresses.length === 1 && only !== undefined) {
        connect(only.address, only.family);
        return;
      }
      over = true;
      late.cancel();
      resolve(addresses);
    }, fails);
  });
}
