import { deadline } from "../../core/deadline.ts";
import { Refusal } from "../../errors.ts";
import type { Cancellation, HttpServing } from "../../http/exchange.ts";
import type { Connection, ServingLimits } from "../../types.ts";
import { IdleWatch } from "../relay.ts";
import { ConnectionDuplex } from "./connection-duplex.ts";
import { serveHttp1 } from "./http1-server.ts";
import { serveHttp2 } from "./http2-server.ts";
import { headIsHere, longestHeadMs, type Served } from "./served.ts";

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
  if (alpn !== "h2") return serveHttp1(connection, serving, draining, limits);
  // Elsewhere not by events: on Bun and Deno a browser's event stream then did not begin (1.4.5, 2.9.6).
  const stream = new ConnectionDuplex(connection, isNode);
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
  const served: Served = {
    serving,
    draining,
    head: deadline(limits.headMs ?? longestHeadMs, () => {
      idle = true;
      stream.destroy();
    }),
    stream,
  };
  const over = new Promise<void>((resolve) => stream.once("close", resolve));
  stream.on("error", () => {});
  stream.once("end", () => {
    watch.halfClosed();
    // HTTP/2 has no use for half a connection: without its sending half the peer can't even let us send on.
    stream.destroy();
  });
  serveHttp2(served);
  await over;
  watch.stop();
  headIsHere(served);
  if (idle)
    throw new Refusal("idle_timeout", "no byte either way, or no end of a request's head, for too long");
}
