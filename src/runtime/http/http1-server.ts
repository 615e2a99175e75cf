import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { Gone } from "../../http/cancellation.ts";
import type { HttpBody, HttpExchange, HttpFields, HttpRequest, HttpResponse } from "../../http/exchange.ts";

import { contentLength, fieldsOf, flat, grouped } from "./fields.ts";
import { maxHeaderBytes, RequestBody } from "./incoming.ts";
import { smallBody } from "./response-body.ts";
import { drained, endGently, endIfDone, headIsHere, internalError, type Served } from "./served.ts";
import { switchedConnection } from "./switched-connection.ts";

const servedBy = new WeakMap<Duplex, Served>();

const server = createServer({
  maxHeaderSize: maxHeaderBytes,
  keepAliveTimeout: 0,
  requestTimeout: 0,
  headersTimeout: 0,
});
// Beyond such a count fields would be dropped without a word; their bytes are bounded.
server.maxHeadersCount = 0;
// A client may close its sending half and then read the answer.
Object.defineProperty(server, "httpAllowHalfOpen", { value: true });
// It never listens: connections are handed to it. Some runtimes drop every connection after its first response
// where a server does not listen (any more), so it says that it does.
Object.defineProperty(server, "listening", { value: true });

const onRequest =
  (waits: boolean) =>
  (request: IncomingMessage, response: ServerResponse): void => {
    // Parsers know more versions than those whose framing is this one (RFC 9112 §2.3).
    if (request.httpVersion !== "1.1" && request.httpVersion !== "1.0") {
      response.writeHead(505, { "content-length": 0, connection: "close" });
      response.end();
      return;
    }
    const stream: Duplex = request.socket;
    const served = servedBy.get(stream);
    if (served === undefined) stream.destroy();
    else void answer(served, request, response, waits);
  };
server.on("request", onRequest(false));
server.on("checkContinue", onRequest(true));
// Any other expectation (RFC 9110 §10.1.1).
server.on("checkExpectation", (_request: IncomingMessage, response: ServerResponse) => {
  response.writeHead(417, { "content-length": 0 });
  response.end();
});
server.on("upgrade", (request: IncomingMessage, stream: Duplex, head: Uint8Array) => {
  const served = servedBy.get(stream);
  if (served === undefined) stream.destroy();
  else void answerUpgrade(served, request, stream, head);
});
server.on("connect", (_request: IncomingMessage, stream: Duplex) => {
  // This is no forward proxy.
  endGently(stream, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
});
server.on("clientError", (error: Error & { readonly code?: string }, stream: Duplex) => {
  const served = servedBy.get(stream);
  // In the middle of another request's answer there is no place for one of its own.
  if (served === undefined || served.active > 0 || !stream.writable) return void stream.destroy(error);
  const status =
    error.code === "HPE_HEADER_OVERFLOW" ? "431 Request Header Fields Too Large" : "400 Bad Request";
  endGently(stream, `HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
});

/** Requests that wait for the answer to the one before, until the client is made to wait: a head costs far more than its bytes. */
const maxWaiting = 16;
/** What is read of heads at once has as many as fit into it; where more wait than that, somebody fills the memory. */
const headsAtOnce = 4096;
const flood = 512;

/** Serves HTTP/1.1 on a connection until it closes. */
export function serveHttp1(served: Served): void {
  const { stream, draining } = served;
  servedBy.set(stream, served);
  stream.holdWhile(
    () => served.waiting.length >= maxWaiting || served.bodyFull?.() === true,
    () => (served.unfinished?.() === true ? Number.POSITIVE_INFINITY : headsAtOnce),
  );
  const drain = (): void => endIfDone(served);
  draining.addEventListener("abort", drain, { once: true });
  stream.once("close", () => draining.removeEventListener("abort", drain));
  stream.once("close", () => {
    served.quiet?.cancel();
    for (const go of served.waiting.splice(0)) go();
  });
  server.emit("connection", stream);
}

function requestOf(incoming: IncomingMessage, body: HttpBody | null): HttpRequest {
  const fields = fieldsOf(incoming.rawHeaders);
  return {
    method: incoming.method ?? "GET",
    target: incoming.url ?? "/",
    authority: fields.find(([name]) => name === "host")?.[1] ?? null,
    version: incoming.httpVersion === "1.0" ? "1.0" : "1.1",
    fields,
    body,
    // Only chunks leave room for any (RFC 9112 §7.1.2).
    ...(incoming.headers["transfer-encoding"] === undefined
      ? {}
      : { trailers: () => fieldsOf(incoming.rawTrailers) }),
  };
}

/** What may wait of a body that nobody takes before the client is made to wait. */
const highWater = 64 * 1024;

/** RFC 9112 §6.3: a request that announces no body has none, whatever its method. */
const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined;

function bodyOf(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  served: Served,
  waits: boolean,
): HttpBody | null {
  if (!hasBody(incoming)) return null;
  return new RequestBody(
    incoming,
    () => {
      if (waits && !outgoing.headersSent && !outgoing.destroyed) outgoing.writeContinue();
    },
    () => served.stream.wake(),
    () => incoming.complete,
  );
}

async function answer(
  served: Served,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  waits: boolean,
): Promise<void> {
  headIsHere(served);
  served.quiet?.cancel();
  // Of the last one that came, whose turn it may not be for long: those before it are here.
  const bodyFull = hasBody(incoming) ? () => incoming.readableLength >= highWater : null;
  served.bodyFull = bodyFull ?? served.bodyFull;
  // One at a time: those behind must not be heard if this one turns out to end the connection.
  if (served.active > 0 && !(await itsTurn(served))) return;
  if (served.closing || outgoing.destroyed) return next(served);
  served.active++;
  const gone = new Gone();
  outgoing.once("close", () => {
    if (!outgoing.writableFinished) gone.abort();
  });
  incoming.on("error", gone.abort);
  outgoing.on("error", gone.abort);
  const body = bodyOf(incoming, outgoing, served, waits);
  if (body !== null) {
    const unfinished = (): boolean => !incoming.complete;
    if (served.ended && unfinished()) served.stream.destroy();
    served.unfinished = unfinished;
  }
  const respondOnce = (response: HttpResponse): Promise<void> => {
    // Nobody has told the client to send its body, so that it may or may not come: no request can be found behind it.
    const unsaid = waits && body instanceof RequestBody && !body.begun;
    const close = served.draining.aborted || unsaid || response.last === true;
    served.closing ||= close;
    return respond(outgoing, response, {
      close,
      trailers: /(^|,)\s*trailers\s*(,|$)/i.test(String(incoming.headers.te)),
    });
  };
  const exchange: HttpExchange = {
    request: requestOf(incoming, body),
    signal: gone,
    respond: respondOnce,
    upgrade: () => {
      throw new TypeError("not a request to switch protocols");
    },
  };
  try {
    await served.serving.handle(exchange);
  } catch {
    if (!outgoing.headersSent) await respondOnce(internalError);
  }
  served.active--;
  if (body !== null) {
    // What nobody took of the body goes past: the next request comes behind it.
    served.unfinished = null;
    if (served.bodyFull === bodyFull) served.bodyFull = null;
    incoming.on("data", ignored);
  }
  if (served.waiting.length === 0) endIfDone(served);
  next(served);
}

/** Resolves when it is the turn of a request behind others; false where the connection is over instead. */
async function itsTurn(served: Served): Promise<boolean> {
  if (served.waiting.length >= flood) {
    served.stream.destroy();
    return false;
  }
  await new Promise<void>((resolve) => served.waiting.push(resolve));
  return true;
}

/** The next request has its turn, and there is room for another one. */
function next({ waiting, stream }: Served): void {
  waiting.shift()?.();
  stream.wake();
}

const ignored = (): void => {};

/** Sends all there is of a body, with the head. Resolves as `respond` does. */
function endWith(outgoing: ServerResponse, { buffer, byteOffset, length }: Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    outgoing.once("close", resolve);
    outgoing.end(Buffer.from(buffer, byteOffset, length).toString("latin1"), "latin1", () => resolve());
  });
}

interface Manner {
  /** The connection is over behind it. */
  readonly close: boolean;
  /** The client takes trailers. */
  readonly trailers: boolean;
}

async function respond(outgoing: ServerResponse, response: HttpResponse, manner: Manner): Promise<void> {
  if (outgoing.destroyed || outgoing.headersSent) return;
  const { fields } = response;
  const headers = flat(manner.close ? fields.filter(([name]) => name !== "connection") : fields);
  if (manner.close) headers.push("connection", "close");
  outgoing.writeHead(response.status, headers);
  const whole = manner.trailers ? null : (response.body?.takeWhole?.() ?? null);
  if (whole !== null && whole.length <= smallBody) return endWith(outgoing, whole);
  // A stream that says nothing for now has begun all the same: its head must not wait for the first word.
  const patience = response.body === null ? undefined : setImmediate(() => outgoing.flushHeaders());
  const length = response.body === null ? null : contentLength(fields);
  let written: Promise<void> | null = null;
  try {
    for await (const chunk of response.body ?? []) {
      clearImmediate(patience);
      if (outgoing.destroyed) return;
      // More than was announced is nobody's.
      if (written !== null) break;
      // By the length that was announced it is all there is (RFC 9112 §6.3), whenever its source says so.
      if (chunk.length === length && length <= smallBody) written = endWith(outgoing, chunk);
      else if (!outgoing.write(chunk)) await drained(outgoing);
    }
    if (written !== null) return await written;
  } catch {
    // The source broke: what the client has must not look complete.
    outgoing.socket?.destroy(new Error("cut"));
    return;
  } finally {
    clearImmediate(patience);
  }
  const trailers = manner.trailers ? (response.trailers?.() ?? []) : [];
  if (trailers.length > 0 && outgoing.chunkedEncoding) outgoing.addTrailers(grouped(trailers));
  await new Promise<void>((resolve) => {
    outgoing.once("close", resolve);
    outgoing.end(() => resolve());
  });
}

/** A request to switch protocols has no response object: what it gets is written by hand, then closed. */
async function answerUpgrade(
  served: Served,
  incoming: IncomingMessage,
  stream: Duplex,
  head: Uint8Array,
): Promise<void> {
  headIsHere(served);
  served.quiet?.cancel();
  // In its turn, as any other: nothing is read as a request behind it, so that none waits for it.
  served.stream.holdNoMore();
  if (served.active > 0 && !(await itsTurn(served))) return;
  if (stream.writableLength > 0) await new Promise((resolve) => stream.write("", resolve));
  if (stream.destroyed) return;
  if (served.closing) return endGently(stream);
  served.active++;
  const gone = new Gone();
  stream.once("close", gone.abort);
  const headText = (status: number, fields: HttpFields): string =>
    `HTTP/1.1 ${status} ${reasonPhrase(status)}\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
  let answered: "responded" | "upgraded" | null = null;
  const exchange: HttpExchange = {
    request: requestOf(incoming, null),
    signal: gone,
    upgrade: (fields) => {
      answered = "upgraded";
      // Nothing else waits to go out, so that this is on its way now.
      stream.write(headText(101, fields));
      return switchedConnection(stream, head);
    },
    respond: async (response) => {
      answered = "responded";
      const kept = response.fields.filter(([name]) => name !== "connection" && name !== "transfer-encoding");
      stream.write(headText(response.status, [...kept, ["connection", "close"]]));
      try {
        for await (const chunk of response.body ?? []) {
          if (stream.destroyed) return;
          if (!stream.write(chunk)) await drained(stream);
        }
        endGently(stream);
      } catch {
        stream.destroy(new Error("cut"));
      }
    },
  };
  try {
    await served.serving.handle(exchange);
  } catch {
    if (answered === null) await exchange.respond(internalError);
  }
  served.active--;
  if (answered !== "responded") stream.destroy();
}

const reasonPhrase = (status: number): string => (status === 101 ? "Switching Protocols" : "");
