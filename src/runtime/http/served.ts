import type { Duplex, Writable } from "node:stream";
import { type Deadline, deadline } from "../../core/deadline.ts";
import type { Cancellation, HttpResponse, HttpServing } from "../../http/exchange.ts";
import type { ConnectionDuplex } from "./connection-duplex.ts";

/** What a connection's requests need to know of it. */
export interface Served {
  readonly serving: HttpServing;
  readonly draining: Cancellation;
  /** Runs while a request's head is to come, or to end. */
  head: Deadline | undefined;
  readonly stream: ConnectionDuplex;
}

/** How long a client may take to the end of a request's head: of the first one since the handshake. */
export const longestHeadMs = 60_000;

/** A request has come. */
export function headIsHere(served: Served): void {
  served.head?.cancel();
  served.head = undefined;
}

export const internalError: HttpResponse = { status: 500, fields: [["content-length", "0"]], body: null };

/** How long a peer may take to hear a last word before the connection goes. */
export const lingerMs = 1000;

/**
 * Ends a connection so that the peer hears the last word: closing while bytes are unread would make the kernel
 * send a reset, which throws the last word away at the other end.
 */
export function endGently(stream: Duplex, lastWord?: string): void {
  stream.end(lastWord, () => {
    if (stream.readableEnded) return void stream.destroy();
    const late = deadline(lingerMs, () => stream.destroy());
    stream.once("close", () => late.cancel());
    stream.once("end", () => stream.destroy());
    stream.resume();
  });
}

/** How long a client that was not told has to be silent before it is taken for one that has nothing more to ask. */
export const quietMs = 1000;

/** Resolves when there is room for more, or nobody to take it. */
export const drained = (stream: Writable): Promise<void> =>
  new Promise((resolve) => {
    const go = (): void => {
      stream.off("drain", go);
      stream.off("close", go);
      resolve();
    };
    stream.on("drain", go);
    stream.on("close", go);
  });
