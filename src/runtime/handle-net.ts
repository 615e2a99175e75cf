import { ADDRCONFIG, type LookupAddress } from "node:dns";
import { lookup } from "node:dns/promises";
import { isIP, type Server } from "node:net";
import { type Deadline, deadline } from "../core/deadline.ts";
import type { Refusal } from "../errors.ts";
import type { Connection, DialTarget, ListenHandlers } from "../types.ts";
import { noEndpoint } from "./endpoint.ts";
import { HandleConnection, nameOf } from "./handle-connection.ts";
import { type ConnectRequest, type Handles, type SocketHandle, systemError } from "./handles.ts";
import { keepAliveMs, tooLate, unreachable } from "./socket-dial.ts";

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

/** What a host has, where there are several to choose from. */
export type Addresses = readonly LookupAddress[];

/** Dials one of several. */
type Elsewhere = (addresses: Addresses) => Promise<Connection>;

let lastHost = "";
let lastFamily = 0;

/** 4 or 6 for an address; 0 for a name. Nearly always it is asked about the same one again, and it is dear to tell. */
function familyOf(host: string): number {
  if (host !== lastHost) {
    lastHost = host;
    lastFamily = isIP(host);
  }
  return lastFamily;
}

/** Who is over sooner is not worth the four calls that have the kernel keep it alive, which does nothing for longer than that. */
const lastingMs = keepAliveMs / 3;

interface Settle {
  resolve(found: Connection | Promise<Connection>): void;
  reject(error: Refusal): void;
}

/**
 * A dial under way, called back by functions that all dials share. V8 of Node 26 does not collect with the young what a
 * closure that hangs on a handle or on a request leads to: once one of them had grown old, every dial after it would
 * stay, with its connection, until the whole heap is collected (a third of all that is allocated for a connection).
 */
class Dial {
  readonly #handles: Handles;
  readonly #target: DialTarget;
  readonly #elsewhere: Elsewhere;
  readonly #late: Deadline;
  /** `null` once it is over. */
  #settle: Settle | null;
  #handle: SocketHandle | undefined;

  constructor(handles: Handles, target: DialTarget, elsewhere: Elsewhere, settle: Settle) {
    this.#handles = handles;
    this.#target = target;
    this.#elsewhere = elsewhere;
    this.#settle = settle;
    this.#late = deadline(target.withinMs, this.#tooLate.bind(this));
  }

  begin(): void {
    const family = familyOf(this.#target.host);
    if (family !== 0) {
      this.#connect(this.#target.host, family);
      return;
    }
    lookup(this.#target.host, { all: true, hints: ADDRCONFIG }).then(
      (addresses) => {
        const [only] = addresses;
        if (addresses.length === 1 && only !== undefined) this.#connect(only.address, only.family);
        else this.#over()?.resolve(this.#elsewhere(addresses));
      },
      (error: unknown) => this.#fails(error),
    );
  }

  #connect(address: string, family: number): void {
    if (this.#settle === null) return;
    const handle = new this.#handles.Socket(this.#handles.socketType);
    this.#handle = handle;
    const request = new this.#handles.ConnectRequest();
    request.dial = this;
    request.address = address;
    request.oncomplete = onConnected;
    const status =
      family === 6
        ? handle.connect6(request, address, this.#target.port)
        : handle.connect(request, address, this.#target.port);
    if (status !== 0) this.connected(status, address);
  }

  connected(status: number, address: string): void {
    if (status !== 0) {
      this.#fails(systemError("connect", status, ` ${address}:${this.#target.port}`));
      return;
    }
    const handle = this.#handle;
    const settle = this.#over();
    if (settle === null || handle === undefined) return;
    this.#handle = undefined;
    handle.setNoDelay?.(true);
    const connection = new HandleConnection(this.#handles, handle);
    connection.lasting = deadline(lastingMs, keepAlive.bind(undefined, handle));
    if (this.#target.preamble !== undefined) connection.push(this.#target.preamble);
    settle.resolve(connection);
  }

  #tooLate(): void {
    this.#fails(tooLate(this.#target));
  }

  #fails(error: unknown): void {
    const settle = this.#over();
    if (settle === null) return;
    this.#handle?.close();
    this.#handle = undefined;
    settle.reject(unreachable(this.#target, error));
  }

  #over(): Settle | null {
    const settle = this.#settle;
    this.#settle = null;
    this.#late.cancel();
    return settle;
  }
}

function keepAlive(handle: SocketHandle): void {
  handle.setKeepAlive?.(true, keepAliveMs / 1000);
}

function onConnected(this: ConnectRequest, status: number): void {
  const { dial, address } = this;
  this.dial = undefined;
  dial?.connected(status, address);
}

/**
 * Dials the one address that a host has. Rejects with a `Refusal`.
 *
 * @param elsewhere where it has several: in which order they are tried and for how long is `node:net`'s affair
 */
export const dialHandle = (handles: Handles, target: DialTarget, elsewhere: Elsewhere): Promise<Connection> =>
  new Promise((resolve, reject) => {
    new Dial(handles, target, elsewhere, { resolve, reject }).begin();
  });
