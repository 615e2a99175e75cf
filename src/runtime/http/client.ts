import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2 } from "node:http2";
import type { Duplex } from "node:stream";
import { Refusal } from "../../errors.ts";
import type { HttpBody, HttpClient, HttpClientRequest, HttpClientResponse, HttpFields } from "../../http.ts";
import type { Connection } from "../../types.ts";
import { ConnectionDuplex } from "./connection-duplex.ts";
import { DuplexConnection } from "./duplex-connection.ts";

/** Idle connections kept for the next request, each client's own. */
const maxIdle = 16;

/** An agent whose connections somebody else dials. */
class DialledAgent extends Agent {
  readonly #dial: () => Promise<Connection>;

  constructor(dial: () => Promise<Connection>) {
    super({ keepAlive: true, maxFreeSockets: maxIdle });
    this.#dial = dial;
  }

  override createConnection(
    _options: unknown,
    done?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    this.#dial().then(
      (connection) => done?.(null, new ConnectionDuplex(connection)),
      // The callback's type has no way to say "no stream".
      (error: Error) => (done as (error: Error) => void)(error),
    );
    return undefined;
  }
}

const refused = (error: Error): Refusal =>
  error instanceof Refusal ? error : new Refusal("upstream_refused", error.message, { cause: error });

/** HTTP/1.1 over connections that `dial` makes. */
export function http1Client(dial: () => Promise<Connection>): HttpClient {
  const agent = new DialledAgent(dial);
  return {
    request: (request) => request1(agent, request),
    close: () => agent.destroy(),
  };
}

function fieldsOf(raw: readonly string[]): [string, string][] {
  const fields: [string, string][] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) fields.push([(raw[i] ?? "").toLowerCase(), raw[i + 1] ?? ""]);
  return fields;
}

function grouped(fields: HttpFields): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of fields) {
    const before = headers[name];
    headers[name] =
      before === undefined ? value : typeof before === "string" ? [before, value] : [...before, value];
  }
  return headers;
}

function request1(agent: Agent, request: HttpClientRequest): Promise<HttpClientResponse> {
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest({
      agent,
      // Never resolved: the agent's dial goes where the route says. It names the pool, which is this client's own.
      host: "upstream",
      method: request.method,
      path: request.target,
      headers: { host: request.authority, ...grouped(request.fields) },
      setHost: false,
    });
    const aborted = (): void => {
      outgoing.destroy(new Error("the client went away"));
    };
    request.signal.addEventListener("abort", aborted, { once: true });
    outgoing.once("close", () => request.signal.removeEventListener("abort", aborted));
    outgoing.on("error", (error) => reject(refused(error)));
    outgoing.once("response", (incoming) => {
      resolve({
        status: incoming.statusCode ?? 502,
        fields: fieldsOf(incoming.rawHeaders),
        body: whole(incoming),
        upgraded: null,
      });
    });
    outgoing.once("upgrade", (incoming, stream, head) => {
      resolve({
        status: 101,
        fields: fieldsOf(incoming.rawHeaders),
        body: null,
        upgraded: new DuplexConnection(stream, head),
      });
    });
    if (request.body === null) outgoing.end();
    else void send(request.body, outgoing);
  });
}

/** The body, with an error where it was cut: runtimes disagree on whether the stream itself says so. */
async function* whole(incoming: IncomingMessage): HttpBody {
  for await (const chunk of incoming) yield chunk;
  if (!incoming.complete) throw new Refusal("upstream_refused", "the upstream cut its response");
}

interface Writable {
  readonly destroyed: boolean;
  write(chunk: Uint8Array): boolean;
  end(): void;
  destroy(error?: Error): void;
  once(event: string, listener: () => void): unknown;
  off(event: string, listener: () => void): unknown;
}

/** Streams a request's body; where its source breaks, the request is cut. */
async function send(body: HttpBody, outgoing: Writable): Promise<void> {
  try {
    for await (const chunk of body) {
      if (outgoing.destroyed) return;
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
    outgoing.end();
  } catch (error) {
    outgoing.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}

/** HTTP/2 with prior knowledge, all requests over one connection that is dialled when there is none. */
export function http2Client(dial: () => Promise<Connection>): HttpClient {
  let session: Promise<ClientHttp2Session> | undefined;
  const open = (): Promise<ClientHttp2Session> => {
    session ??= dial().then((connection) => {
      const opened = connectHttp2("http://upstream", {
        createConnection: () => new ConnectionDuplex(connection),
      });
      const forget = (): void => {
        session = undefined;
      };
      opened.once("close", forget);
      opened.once("goaway", forget);
      opened.on("error", forget);
      return opened;
    });
    session.catch(() => {
      session = undefined;
    });
    return session;
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
        ...grouped(request.fields),
        ":method": request.method,
        ":path": request.target,
        ":authority": request.authority,
        ":scheme": "http",
      },
      { endStream: request.body === null },
    );
    const aborted = (): void => stream.close(8 /* CANCEL (RFC 9113 §7) */);
    request.signal.addEventListener("abort", aborted, { once: true });
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
      resolve({ status: Number(headers[":status"]), fields, body: whole2(stream), upgraded: null });
    });
    if (request.body !== null) void send(request.body, stream);
  });
}

async function* whole2(stream: ClientHttp2Stream): HttpBody {
  for await (const chunk of stream) yield chunk as Uint8Array;
  if (stream.rstCode !== 0) throw new Refusal("upstream_refused", "the upstream cut its response");
}
