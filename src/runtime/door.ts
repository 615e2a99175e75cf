import type { Server } from "node:net";
import type { Endpoint } from "../types.ts";
import { endpoint } from "./endpoint.ts";

interface AcceptedHandle {
  getpeername?(into: { address?: string; port?: number }): number;
  /** Closes with a TCP reset. */
  reset?(): number;
  close(): void;
}

interface ListeningHandle {
  onconnection?: (this: ListeningHandle, failure: number, client: AcceptedHandle | undefined) => void;
}

/**
 * Has a server that listens ask about each connection before it makes a socket of it, which costs more than all else
 * that turning it away takes. There is no public way (Node 20 to 26); where the private one is not as expected, nothing
 * is changed.
 *
 * @returns whether it asks from now on
 */
export function askAtTheDoor(server: Server, mayCome: (remote: Endpoint) => boolean): boolean {
  const handle = (server as { readonly _handle?: ListeningHandle | null })._handle;
  const accept = handle?.onconnection;
  if (handle === null || handle === undefined || typeof accept !== "function") return false;
  handle.onconnection = function (failure, client) {
    if (client?.getpeername !== undefined && client.reset !== undefined) {
      const peer: { address?: string; port?: number } = {};
      // Whoever is gone already has no name. There is nothing to serve or to record.
      if (client.getpeername(peer) !== 0) {
        client.close();
        return;
      }
      if (!mayCome(endpoint(peer.address, peer.port))) {
        if (client.reset() !== 0) client.close();
        return;
      }
    }
    accept.call(this, failure, client);
  };
  return true;
}
