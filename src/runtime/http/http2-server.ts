import {
  constants,
  createServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from "node:http2";
import { type Deadline, deadline } from "../../core/deadline.ts";
import { Gone } from "../../http/cancellation.ts";
import type { HttpBody, HttpExchange, HttpRequest, HttpResponse } from "../../http/exchange.ts";
import { ErrorWatch } from "../../wire/http2-frames.ts";

import type { ConnectionDuplex } from "./connection-duplex.ts";
import { DuplexConnection } from "./duplex-connection.ts";
import { fieldsOf, joined } from "./fields.ts";
import { maxHeaderBytes, RequestBody } from "./incoming.ts";
import { drained, endGently, headIsHere, internalError, lingerMs, type Served } from "./served.ts";

const maxStreams = 250;
const everyStream = 2 ** 31 - 1;
/** For requests that were sent before their client heard that there is to be nothing new. */
const onTheWayMs = 1000;

const server = createServer({
  settings: {
    maxConcurrentStreams: maxStreams,
    maxHeaderListSize: maxHeaderBytes,
    enablePush: false,
    // WebSocket over HTTP/2 (RFC 8441 §3).
    enableConnectProtocol: true,
  },
});

const onRequest =
  (waits: boolean) =>
  (request: Http2ServerRequest, response: Http2ServerResponse): void => {
    const { stream } = request;
    const served = stream.session === undefined ? undefined : sessions.get(stream.session);
    if (served === undefined) stream.close();
    else void answer(served, request, response, waits);
  };
server.on("request", onRequest(false));
server.on("checkContinue", onRequest(true));
server.on("connect", (request: Http2ServerRequest, response: Http2ServerResponse) => {
  // Without a protocol it asks for a forward proxy, which this is none.
  if (request.headers[":protocol"] !== undefined) onRequest(false)(request, response);
  else request.stream.respond({ ":status": 405 }, { endStream: true });
});

const sessions = new WeakMap<object, Served>();
const awaiting: Served[] = [];
server.on("session", (session: ServerHttp2Session) => {
  // Made synchronously by the `connection` event below: the one that waits is this session's.
  const served = awaiting.pop();
  if (served === undefined) return session.destroy();
  sessions.set(session, served);
  let last: Deadline | undefined;
  // First that there is to be nothing new, then which streams were heard: what was on its way is served (RFC 9113 §6.8).
  const drain = (): void => {
    session.goaway(constants.NGHTTP2_NO_ERROR, everyStream);
    last = deadline(onTheWayMs, () => session.close());
  };
  served.draining.addEventListener("abort", drain, { once: true });
  session.once("close", () => {
    last?.cancel();
    served.draining.removeEventListener("abort", drain);
  });
  if (served.draining.aborted) drain();
  // No connection outlives its session.
  session.on("error", () => endAtLast(served.stream));
  session.once("close", () => endAtLast(served.stream));
});
server.on("sessionError", () => {});

/** Ends a connection after a last word, also where nobody takes that or reads what the peer still sends. */
function endAtLast(stream: ConnectionDuplex): void {
  if (stream.destroyed) return;
  const late = deadline(lingerMs, () => stream.destroy());
  stream.once("close", () => late.cancel());
  endGently(stream);
}

/** Serves HTTP/2 on a connection until it closes. */
export function serveHttp2(served: Served): void {
  const { stream } = served;
  // Node's library answers most breaches of the protocol with GOAWAY, and then neither reads on nor closes, nor tells
  // anyone: to close is for whoever sent it (RFC 9113 §5.4.1). So what it sends says when.
  const watch = new ErrorWatch();
  stream.sees = (chunk) => {
    if (!watch.take(chunk)) return;
    stream.sees = null;
    // Not within the library's own write.
    setImmediate(() => endAtLast(stream));
  };
  // A library that does not read on does not notice the end of the connection either.
  void stream.connection.closed.then(() => endAtLast(stream));
  awaiting.push(served);
  server.emit("connection", stream);
  awaiting.length = 0;
}

function requestOf(incoming: Http2ServerRequest, body: HttpBody | null): HttpRequest {
  const { headers } = incoming;
  const fields = fieldsOf(incoming.rawHeaders).filter(([name]) => !name.startsWith(":"));
  const authority = headers[":authority"];
  const protocol = headers[":protocol"];
  return {
    method: incoming.method,
    target: incoming.url,
    authority:
      typeof authority === "string" ? authority : (fields.find(([name]) => name === "host")?.[1] ?? null),
    version: "2",
    fields,
    body,
    ...(body === null ? {} : { trailers: () => fieldsOf(incoming.rawTrailers) }),
    ...(typeof protocol === "string" ? { protocol } : {}),
  };
}

async function answer(
  served: Served,
  incoming: Http2ServerRequest,
  outgoing: Http2ServerResponse,
  waits: boolean,
): Promise<void> {
  const { stream } = incoming;
  headIsHere(served);
  const gone = new Gone();
  let finished = false;
  stream.once("finish", () => {
    finished = true;
  });
  stream.once("close", () => {
    if (!finished || stream.rstCode !== constants.NGHTTP2_NO_ERROR) gone.abort();
  });
  const abort = (): void => gone.abort();
  stream.once("aborted", abort);
  stream.on("error", abort);
  const switches = incoming.headers[":protocol"] !== undefined;
  const body =
    stream.endAfterHeaders || switches
      ? null
      : new RequestBody(
          incoming,
          () => {
            if (waits && !stream.headersSent && !stream.destroyed) outgoing.writeContinue();
          },
          () => !stream.aborted && !stream.destroyed && !gone.aborted,
        );
  const exchange: HttpExchange = {
    request: requestOf(incoming, body),
    signal: gone,
    respond: (response) => respond(stream, outgoing, response),
    upgrade: (fields) => {
      if (!switches) throw new TypeError("not a request to switch protocols");
      stream.respond({ ":status": 200, ...joined(fields) });
      return new DuplexConnection(stream);
    },
  };
  try {
    await served.serving.handle(exchange);
  } catch {
    if (!stream.headersSent) await respond(stream, outgoing, internalError);
  }
  if (switches) stream.close();
  // What nobody took of the body goes past.
  else if (body !== null) incoming.on("data", ignored);
}

const ignored = (): void => {};

async function respond(
  stream: ServerHttp2Stream,
  outgoing: Http2ServerResponse,
  response: HttpResponse,
): Promise<void> {
  // One that was reset takes no answer, and says so by throwing.
  if (stream.destroyed || stream.closed || stream.headersSent) return;
  const { status, fields, body, trailers } = response;
  const headers = { ":status": status, ...joined(fields) };
  // A head that ends the stream is not the same as one with an empty body behind it: gRPC tells its errors so.
  if (body === null) return stream.respond(headers, { endStream: true });
  stream.respond(headers, { waitForTrailers: trailers !== undefined });
  const whole = trailers === undefined ? (body.takeWhole?.() ?? null) : null;
  if (whole !== null) return endWith(stream, whole);
  try {
    for await (const chunk of body) {
      if (stream.destroyed) return;
      if (!stream.write(chunk)) await drained(stream);
    }
    if (trailers !== undefined) outgoing.addTrailers(joined(trailers()));
  } catch {
    // The source broke: what the client has must not look complete. Not `close` with a code: on Bun that announces
    // the body's end all the same.
    stream.destroy(new Error("cut"));
    return;
  }
  await endWith(stream, null);
}

/** Resolves as `respond` does. */
const endWith = (stream: ServerHttp2Stream, last: Uint8Array | null): Promise<void> =>
  new Promise((resolve) => {
    stream.once("close", resolve);
    stream.end(last, () => resolve());
  });
