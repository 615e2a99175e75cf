import { Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from "node:http2";
import type { Duplex } from "node:stream";
import { Refusal } from "../../errors.ts";
import type { HttpBody, HttpClient, HttpClientRequest, HttpClientResponse } from "../../http/exchange.ts";
import type { Connection } from "../../types.ts";
import { ConnectionDuplex } from "./connection-duplex.ts";
import { DuplexConnection } from "./duplex-connection.ts";
import { contentLength, fieldsOf, grouped, joined } from "./fields.ts";

/** Idle connections kept for the next request, each client's own. */
const maxIdle = 16;

/** An agent whose connections somebody else dials. */
class DialledAgent extends Agent {
  readonly #dial: () => Promise<Connection>;
  readonly #onKept = new WeakSet<ClientRequest>();

  constructor(dial: () => Promise<Connection>) {
    super({ keepAlive: true, maxFreeSockets: maxIdle });
    this.#dial = dial;
  }

  override createConnection(
    _options: unknown,
    done?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    this.#dial().then(
      (connection) => {
        const stream = new ConnectionDuplex(connection);
        // An upstream that has closed its half takes no further request: the agent must see the connection go.
        stream.allowHalfOpen = false;
        done?.(null, stream);
      },
      // The callback's type has no way to say "no stream".
      (error: Error) => (done as (error: Error) => void)(error),
    );
    return undefined;
  }

  override reuseSocket(stream: Duplex, request: ClientRequest): void {
    super.reuseSocket(stream, request);
    this.#onKept.add(request);
    // Deno would ask again by itself, whatever the method, and without the body.
    request.reusedSocket = false;
  }

  /** Whether the request went out on a connection that had been used before. */
  onKept(request: ClientRequest): boolean {
    return this.#onKept.has(request);
  }
}

const refused = (error: Error): Refusal =>
  error instanceof Refusal ? error : new Refusal("upstream_refused", error.message, { cause: error });

/** What may be asked again without harm when nobody can tell whether it was heard (RFC 9110 §9.2.2). */
const idempotent: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** HTTP/1.1 over connections that `dial` makes. */
export function http1Client(dial: () => Promise<Connection>): HttpClient {
  const agent = new DialledAgent(dial);
  return {
    request: async (request) => {
      // An upstream may close a kept connection at any time, also while a request is on its way to it
      // (RFC 9112 §9.3.1). Ends at the latest when the kept ones are used up.
      for (;;) {
        const outgoing = outgoing1(agent, request);
        try {
          return await response1(outgoing, request);
        } catch (error) {
          const again = agent.onKept(outgoing) && request.body === null && idempotent.has(request.method);
          if (!again || request.signal.aborted) throw error;
        }
      }
    },
    close: () => agent.destroy(),
  };
}

/**
 * How the body is framed is said here, never left to the library: it sends the bodies of GET, DELETE and others
 * without any framing, and the upstream would read them as requests.
 */
function framed({ authority, fields, body }: HttpClientRequest): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = grouped([["host", authority], ...fields]);
  headers.host = authority;
  if (body !== null && contentLength(fields) === null) headers["transfer-encoding"] = "chunked";
  return headers;
}

const outgoing1 = (agent: Agent, request: HttpClientRequest): ClientRequest =>
  httpRequest({
    agent,
    // Never resolved: the agent's dial goes where the route says. It names the pool, which is this client's own.
    host: "upstream",
    method: request.method,
    path: request.target,
    headers: framed(request),
    setHost: false,
  });

function response1(outgoing: ClientRequest, request: HttpClientRequest): Promise<HttpClientResponse> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => {
      outgoing.destroy(new Error("the client went away"));
    };
    request.signal.addEventListener("abort", aborted, { once: true });
    outgoing.once("close", () => {
      request.signal.removeEventListener("abort", aborted);
      reject(new Refusal("upstream_refused", "the upstream closed the connection without a response"));
    });
    outgoing.on("error", (error) => reject(refused(error)));
    outgoing.once("response", (incoming) => {
      resolve({
        status: incoming.statusCode ?? 502,
        fields: fieldsOf(incoming.rawHeaders),
        body: whole(incoming, () => incoming.complete),
        upgraded: null,
      });
    });
    outgoing.once("upgrade", (incoming, stream, head) => {
      stream.allowHalfOpen = true;
      resolve({
        status: 101,
        fields: fieldsOf(incoming.rawHeaders),
        body: null,
        upgraded: new DuplexConnection(stream, head),
      });
    });
    if (request.body === null) outgoing.end();
    else void send(request.body, contentLength(request.fields), outgoing);
  });
}

/**
 * The body, with an error where it was cut: runtimes disagree on whether the stream itself says so. Not by the
 * stream's own iterator: to that, an HTTP/2 stream whose frames have all arrived before it is first asked has
 * closed too early.
 */
async function* whole(stream: IncomingMessage | ClientHttp2Stream, complete: () => boolean): HttpBody {
  let wake = (): void => {};
  let broke: Error | undefined;
  let over = false;
  const more = (): void => wake();
  const failed = (error: Error): void => {
    broke ??= error;
    wake();
  };
  const closed = (): void => {
    over = true;
    wake();
  };
  stream.on("readable", more);
  stream.on("error", failed);
  stream.once("end", closed);
  stream.once("close", closed);
  try {
    for (;;) {
      const chunk = stream.read() as Uint8Array | null;
      if (chunk !== null) yield chunk;
      else if (broke !== undefined) throw refused(broke);
      else if (over || stream.destroyed) break;
      else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
    if (!complete()) throw new Refusal("upstream_refused", "the upstream cut its response");
  } finally {
    stream.off("readable", more);
    if (!stream.readableEnded) stream.destroy();
  }
}

interface Writable {
  readonly destroyed: boolean;
  write(chunk: Uint8Array): boolean;
  end(): void;
  destroy(error?: Error): void;
  once(event: string, listener: () => void): unknown;
  off(event: string, listener: () => void): unknown;
}

/** Streams a request's body; where its source breaks or is not as long as announced, the request is cut. */
async function send(body: HttpBody, length: number | null, outgoing: Writable): Promise<void> {
  let sent = 0;
  const wrong = (): Refusal =>
    new Refusal("protocol_error", "the body is not as long as its Content-Length says");
  try {
    for await (const chunk of body) {
      if (outgoing.destroyed) return;
      sent += chunk.length;
      if (length !== null && sent > length) throw wrong();
      if (outgoing.write(chunk)) continue;
      await new Promise<void>((resolve) => {
        const go = (): void => {
          outgoing.off("drain", go);
          outgoing.off("close", go);
          resolve();
        };
        outgoing.once("drain", go);
        outgoing.once("close", go);
      });
    }
    if (length !== null && sent !== length) throw wrong();
    outgoing.end();
  } catch (error) {
    outgoing.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}

/** HTTP/2 with prior knowledge, all requests over one connection that is dialled when there is none. */
export function http2Client(dial: () => Promise<Connection>): HttpClient {
  let session: Promise<ClientHttp2Session> | undefined;
  const open = (): Promise<ClientHttp2Session> => {
    if (session !== undefined) return session;
    const opening = dial().then((connection) => {
      const stream = new ConnectionDuplex(connection);
      const opened = connectHttp2("http://upstream", { createConnection: () => stream });
      opened.once("close", forget);
      opened.once("goaway", forget);
      opened.on("error", forget);
      // Not every runtime's session sees by itself that the connection under it has ended.
      const over = (): void => {
        forget();
        opened.destroy();
      };
      stream.once("end", over);
      stream.once("close", over);
      return opened;
    });
    const forget = (): void => {
      if (session === opening) session = undefined;
    };
    opening.catch(forget);
    session = opening;
    return opening;
  };
  return {
    request: async (request) => request2(await open(), request),
    close: () => void session?.then((opened) => opened.close()).catch(() => {}),
  };
}

function request2(session: ClientHttp2Session, request: HttpClientRequest): Promise<HttpClientResponse> {
  return new Promise((resolve, reject) => {
    const stream = session.request(
      {
        ...joined(request.fields),
        ":method": request.method,
        ":path": request.target,
        ":authority": request.authority,
        ":scheme": "http",
      },
      { endStream: request.body === null },
    );
    const aborted = (): void => stream.close(8 /* CANCEL (RFC 9113 §7) */);
    request.signal.addEventListener("abort", aborted, { once: true });
    let ended = false;
    stream.once("end", () => {
      ended = true;
    });
    stream.once("close", () => {
      request.signal.removeEventListener("abort", aborted);
      reject(new Refusal("upstream_refused", "the upstream ended the stream without a response"));
    });
    stream.on("error", (error: Error) => reject(refused(error)));
    stream.once("response", (headers) => {
      const fields = Object.entries(headers).flatMap(([name, value]): [string, string][] => {
        if (name.startsWith(":") || value === undefined) return [];
        return Array.isArray(value)
          ? value.map((one): [string, string] => [name, one])
          : [[name, String(value)]];
      });
      const body = whole(stream, () => ended && stream.rstCode === 0);
      resolve({ status: Number(headers[":status"]), fields, body, upgraded: null });
    });
    if (request.body !== null) void send(request.body, contentLength(request.fields), stream);
  });
}
