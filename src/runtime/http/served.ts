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
  /** Requests under way: on HTTP/1.1 one, the others wait. */
  active: number;
  readonly waiting: (() => void)[];
  /** Runs while the connection is to go, and has not been told so. */
  quiet: Deadline | undefined;
  /** No further request is heard. */
  closing: boolean;
  /** The peer has closed its sending half: no further request can come. */
  ended: boolean;
  /** Whether the body of the request under way is not all here; HTTP/1.1 alone has to ask. */
  unfinished: (() => boolean) | null;
  /** Whether so much waits of the body of the last request that came that its client should. */
  bodyFull: (() => boolean) | null;
}

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
const quietMs = 1000;

/**
 * Ends a connection that has nothing under way and nothing to expect. While the router drains, one whose client was
 * not told in an answer (`Connection: close`) stays a moment: a request may be on its way, and its answer tells.
 */
export function endIfDone(served: Served): void {
  if (served.active > 0) return;
  if (served.ended) endGently(served.stream);
  else if (served.draining.aborted) {
    served.quiet?.cancel();
    served.quiet = deadline(served.closing ? 0 : quietMs, () => {
      if (served.active === 0) endGently(served.stream);
    });
  }
}

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
