import { setMaxListeners } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import {
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session,
} from "node:http2";
import type { Duplex, Readable } from "node:stream";
import { type Deadline, deadline } from "../../core/deadline.ts";
import { Refusal } from "../../errors.ts";
import type {
  HttpBody,
  HttpExchange,
  HttpFields,
  HttpRequest,
  HttpResponse,
  HttpServing,
} from "../../http/exchange.ts";
import type { Connection, RelayLimits } from "../../types.ts";
import { IdleWatch } from "../relay.ts";
import { ConnectionDuplex } from "./connection-duplex.ts";
import { DuplexConnection } from "./duplex-connection.ts";
import { fieldsOf, grouped, joined } from "./fields.ts";

type Incoming = IncomingMessage | Http2ServerRequest;
type Outgoing = ServerResponse | Http2ServerResponse;

/** How long a client may take from the handshake to the end of its first request head. */
const firstRequestMs = 60_000;
const maxHeaderBytes = 32 * 1024;
const maxStreams = 250;

/** What a connection's requests need to know of it. */
interface Served {
  readonly serving: HttpServing;
  readonly draining: AbortSignal;
  readonly firstRequest: Deadline;
  readonly stream: ConnectionDuplex;
  /** Requests under way. */
  active: number;
  /** The peer has closed its sending half: no further request can come. */
  ended: boolean;
}

/** How long a peer may take to hear a last word before the connection goes. */
const lingerMs = 1000;

/**
 * Ends a connection so that the peer hears the last word: closing while bytes are unread would make the kernel
 * send a reset, which throws the last word away at the other end.
 */
function endGently(stream: Duplex, lastWord?: string): void {
  stream.end(lastWord, () => {
    if (stream.readableEnded) return void stream.destroy();
    const late = deadline(lingerMs, () => stream.destroy());
    stream.once("close", () => late.cancel());
    stream.once("end", () => stream.destroy());
    stream.resume();
  });
}

/** Ends a connection that has nothing under way and nothing to expect. */
function endIfDone(served: Served): void {
  if (served.active === 0 && (served.ended || served.draining.aborted)) endGently(served.stream);
}

const servedBy = new WeakMap<Duplex, Served>();

const http1 = createServer({
  maxHeaderSize: maxHeaderBytes,
  keepAliveTimeout: 0,
  requestTimeout: 0,
  headersTimeout: 0,
});
// A client may close its sending half and then read the answer.
Object.defineProperty(http1, "httpAllowHalfOpen", { value: true });
// It never listens: connections are handed to it. Some runtimes drop every connection after its first response
// where a server does not listen (any more), so it says that it does.
Object.defineProperty(http1, "listening", { value: true });
http1.on("request", (request: IncomingMessage, response: ServerResponse) => {
  const stream: Duplex = request.socket;
  const served = servedBy.get(stream);
  if (served === undefined) return void stream.destroy();
  void answer(served, request, response, "1");
});
http1.on("upgrade", (request: IncomingMessage, stream: Duplex, head: Uint8Array) => {
  const served = servedBy.get(stream);
  if (served === undefined) return void stream.destroy();
  void answerUpgrade(served, request, stream, head);
});
http1.on("clientError", (error: Error & { readonly code?: string }, stream: Duplex) => {
  const served = servedBy.get(stream);
  // In the middle of another request's answer there is no place for one of its own.
  if (served === undefined || served.active > 0 || !stream.writable) return void stream.destroy(error);
  const status =
    error.code === "HPE_HEADER_OVERFLOW" ? "431 Request Header Fields Too Large" : "400 Bad Request";
  endGently(stream, `HTTP/1.1 ${status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
});

const http2 = createHttp2Server({
  settings: { maxConcurrentStreams: maxStreams, maxHeaderListSize: maxHeaderBytes, enablePush: false },
});
http2.on("request", (request: Http2ServerRequest, response: Http2ServerResponse) => {
  const session = request.stream.session;
  const served = session === undefined ? undefined : sessions.get(session);
  if (served === undefined) return void request.stream.close();
  void answer(served, request, response, "2");
});
const sessions = new WeakMap<object, Served>();
const awaiting: Served[] = [];
http2.on("session", (session: ServerHttp2Session) => {
  // Made synchronously by the `connection` event below: the one that waits is this session's.
  const served = awaiting.pop();
  if (served === undefined) return session.destroy();
  sessions.set(session, served);
  const drain = (): void => session.close();
  served.draining.addEventListener("abort", drain, { once: true });
  session.once("close", () => served.draining.removeEventListener("abort", drain));
  if (served.draining.aborted) drain();
  session.on("error", () => {});
});
http2.on("sessionError", () => {});

/** Serves HTTP on a connection that is accepted and, where there is TLS, through its handshake. */
export async function serveHttp(
  connection: Connection,
  alpn: string | null,
  serving: HttpServing,
  draining: AbortSignal,
  limits: RelayLimits,
): Promise<void> {
  // One for every connection: many of them are no leak, which Node would warn of.
  setMaxListeners(0, draining);
  const stream = new ConnectionDuplex(connection);
  let idle = false;
  const watch = new IdleWatch(connection, connection, limits, () => {
    idle = true;
    stream.destroy();
  });
  const firstRequest = deadline(firstRequestMs, () => {
    idle = true;
    stream.destroy();
  });
  const served: Served = { serving, draining, firstRequest, stream, active: 0, ended: false };
  servedBy.set(stream, served);
  const over = new Promise<void>((resolve) => stream.once("close", resolve));
  stream.on("error", () => {});
  stream.once("end", () => {
    served.ended = true;
    watch.halfClosed();
    // HTTP/2 has no use for half a connection: without its sending half the peer can't even let us send on.
    if (alpn === "h2") stream.destroy();
    else endIfDone(served);
  });
  if (alpn === "h2") {
    awaiting.push(served);
    http2.emit("connection", stream);
    awaiting.length = 0;
  } else {
    const drain = (): void => endIfDone(served);
    draining.addEventListener("abort", drain, { once: true });
    stream.once("close", () => draining.removeEventListener("abort", drain));
    http1.emit("connection", stream);
  }
  await over;
  watch.stop();
  firstRequest.cancel();
  if (idle) throw new Refusal("idle_timeout", "no byte either way for too long");
}

function requestOf(incoming: Incoming, body: HttpBody | null): HttpRequest {
  const fields = fieldsOf(incoming.rawHeaders).filter(([name]) => !name.startsWith(":"));
  const pseudo = incoming.headers[":authority"];
  return {
    method: incoming.method ?? "GET",
    target: incoming.url ?? "/",
    authority: typeof pseudo === "string" ? pseudo : (fields.find(([name]) => name === "host")?.[1] ?? null),
    version: "stream" in incoming ? "2" : incoming.httpVersion === "1.0" ? "1.0" : "1.1",
    fields,
    body,
  };
}

/** What may wait of a body that nobody takes before the client is made to wait. */
const highWater = 64 * 1024;

function bodyOf(incoming: Incoming, stream: ConnectionDuplex): HttpBody | null {
  const none =
    "stream" in incoming
      ? incoming.stream.endAfterHeaders
      : // RFC 9112 §6.3: a request that announces no body has none, whatever its method.
        incoming.headers["content-length"] === undefined &&
        incoming.headers["transfer-encoding"] === undefined;
  // Whoever stops reading early still has an answer to give on the same connection.
  if (none) return null;
  // HTTP/2 has windows of its own.
  if (!("stream" in incoming)) stream.holdWhile(() => incoming.readableLength >= highWater);
  return taken(incoming, stream);
}

async function* taken(incoming: Readable, stream: ConnectionDuplex): HttpBody {
  for await (const chunk of incoming.iterator({ destroyOnReturn: false })) {
    stream.wake();
    yield chunk as Uint8Array;
  }
}

async function answer(
  served: Served,
  incoming: Incoming,
  outgoing: Outgoing,
  version: "1" | "2",
): Promise<void> {
  served.firstRequest.cancel();
  served.active++;
  const gone = new AbortController();
  outgoing.once("close", () => {
    if (!outgoing.writableFinished) gone.abort();
  });
  incoming.on("error", () => gone.abort());
  outgoing.on("error", () => gone.abort());
  const exchange: HttpExchange = {
    request: requestOf(incoming, bodyOf(incoming, served.stream)),
    signal: gone.signal,
    respond: (response) => respond(outgoing, response, version, served.draining),
    upgrade: () => {
      throw new TypeError("not a request to switch protocols");
    },
  };
  try {
    await served.serving.handle(exchange);
  } catch {
    if (!outgoing.headersSent) await respond(outgoing, internalError, version, served.draining);
  }
  served.active--;
  // What nobody took of the body goes past: the next request comes behind it.
  served.stream.holdWhile(null);
  incoming.on("data", ignored);
  // HTTP/2 drains by GOAWAY, which lets the last responses out by itself.
  if (version === "1") endIfDone(served);
}

const ignored = (): void => {};

const internalError: HttpResponse = { status: 500, fields: [["content-length", "0"]], body: null };

/** Not `stream.close` with a code: on Bun that announces the body's end all the same. */
const cut = (outgoing: Outgoing): void => {
  const stream = "stream" in outgoing ? outgoing.stream : outgoing.socket;
  stream?.destroy(new Error("cut"));
};

async function respond(
  outgoing: Outgoing,
  response: HttpResponse,
  version: "1" | "2",
  draining: AbortSignal,
): Promise<void> {
  if (outgoing.destroyed || outgoing.headersSent) return;
  const headers = version === "1" ? grouped(response.fields) : joined(response.fields);
  // HTTP/2 says it with GOAWAY, at the session.
  if (version === "1" && draining.aborted) headers.connection = ["close"];
  (outgoing as ServerResponse).writeHead(response.status, headers);
  try {
    for await (const chunk of response.body ?? []) {
      if (outgoing.destroyed) return;
      if (!(outgoing as ServerResponse).write(chunk)) await drained(outgoing);
    }
  } catch {
    // The source broke: what the client has must not look complete.
    cut(outgoing);
    return;
  }
  await new Promise<void>((resolve) => {
    outgoing.once("close", resolve);
    (outgoing as ServerResponse).end(() => resolve());
  });
}

const drained = (stream: Outgoing | Duplex): Promise<void> =>
  new Promise((resolve) => {
    const go = (): void => {
      stream.off("drain", go);
      stream.off("close", go);
      resolve();
    };
    stream.on("drain", go);
    stream.on("close", go);
  });

/** A request to switch protocols has no response object: what it gets is written by hand, then closed. */
async function answerUpgrade(
  served: Served,
  incoming: IncomingMessage,
  stream: Duplex,
  head: Uint8Array,
): Promise<void> {
  served.firstRequest.cancel();
  served.active++;
  const gone = new AbortController();
  stream.once("close", () => gone.abort());
  const headText = (status: number, fields: HttpFields): string =>
    `HTTP/1.1 ${status} ${reasonPhrase(status)}\r\n${fields.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
  let answered: "responded" | "upgraded" | null = null;
  const exchange: HttpExchange = {
    request: requestOf(incoming, null),
    signal: gone.signal,
    upgrade: (fields) => {
      answered = "upgraded";
      stream.write(headText(101, fields));
      return new DuplexConnection(stream, head);
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
