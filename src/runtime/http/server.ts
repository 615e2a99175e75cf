import { type Deadline, deadline } from "../../core/deadline.ts";
import { Refusal } from "../../errors.ts";
import type { Cancellation, HttpServing } from "../../http/exchange.ts";
import type { Connection, ServingLimits } from "../../types.ts";
import { IdleWatch } from "../relay.ts";
import { ConnectionDuplex } from "./connection-duplex.ts";
import { serveHttp1 } from "./http1-server.ts";
import { serveHttp2 } from "./http2-server.ts";
import { endIfDone, headIsHere, type Served } from "./served.ts";

/** How long a client may take to the end of a request's head: of the first one since the handshake. */
const longestHeadMs = 60_000;

/**
 * Serves HTTP on a connection that is accepted and, where there is TLS, through its handshake.
 *
 * @param isNode whether the HTTP servers are Node's own
 */
export async function serveHttp(
  connection: Connection,
  alpn: string | null,
  serving: HttpServing,
  draining: Cancellation,
  limits: ServingLimits,
  isNode = false,
): Promise<void> {
  // Elsewhere not by events: on Bun and Deno a browser's event stream then did not begin (1.4.5, 2.9.6). Nor in
  // HTTP/1.1, where whoever sends requests ahead is made to wait read by read.
  const stream = new ConnectionDuplex(connection, isNode && alpn === "h2");
  let idle = false;
  const watch = new IdleWatch(
    connection,
    connection,
    limits,
    () => {
      idle = true;
      stream.destroy();
    },
    () => serving.mayBeSilent?.() ?? false,
  );
  const head = (): Deadline =>
    deadline(limits.headMs ?? longestHeadMs, () => {
      idle = true;
      stream.destroy();
    });
  const served: Served = {
    serving,
    draining,
    head: head(),
    stream,
    active: 0,
    waiting: [],
    quiet: undefined,
    closing: false,
    ended: false,
    unfinished: null,
    bodyFull: null,
  };
  const over = new Promise<void>((resolve) => stream.once("close", resolve));
  stream.on("error", () => {});
  stream.once("end", () => {
    served.ended = true;
    watch.halfClosed();
    // HTTP/2 has no use for half a connection: without its sending half the peer can't even let us send on.
    // Nor has a request that will never be whole; not every HTTP server says so.
    if (alpn === "h2" || served.unfinished?.() === true) stream.destroy();
    else endIfDone(served);
  });
  if (alpn === "h2") serveHttp2(served);
  else {
    // Between two requests, that is where the next one begins: or what nobody took of the last one's body.
    stream.hears = () => {
      if (served.active === 0) served.head ??= head();
    };
    serveHttp1(served);
  }
  await over;
  watch.stop();
  headIsHere(served);
  if (idle)
    throw new Refusal("idle_timeout", "no byte either way, or no end of a request's head, for too long");
}
