import {
  Agent,
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
} from "node:http";
import type { Duplex } from "node:stream";
import { type Deadline, deadline } from "../../core/deadline.ts";
import { Refusal } from "../../errors.ts";
import type { Field, HttpClient, HttpClientRequest, HttpClientResponse } from "../../http/exchange.ts";
import { dialled } from "../../http/unsent.ts";
import type { Connection } from "../../types.ts";
import { ConnectionDuplex } from "./connection-duplex.ts";
import { contentLength, fieldsOf, grouped } from "./fields.ts";
import { sendBody } from "./request-body.ts";
import { ResponseBody, refused } from "./response-body.ts";
import { switchedConnection } from "./switched-connection.ts";

/** Idle connections kept for the next request, each client's own. */
const maxIdle = 256;

/**
 * How long an idle one is kept: servers that say nothing of it close after as little as 5 s, and a request that is on
 * its way by then is lost unless it may be asked twice.
 */
const idleMs = 4000;

/** Of a response. */
const maxHeaderBytes = 64 * 1024;

/** For an upstream that knows nothing of 100 (RFC 9110 §10.1.1). */
const continueMs = 1000;

const pool = "upstream";

/** An agent whose connections somebody else dials. */
class DialledAgent extends Agent {
  readonly #dial: () => Promise<Connection>;
  readonly #ready: ConnectionDuplex[] = [];
  readonly #onKept = new WeakSet<ClientRequest>();
  readonly #usedAt = new WeakMap<Duplex, number>();
  #sweep: Deadline | undefined;

  constructor(dial: () => Promise<Connection>) {
    super({ keepAlive: true, maxFreeSockets: maxIdle, scheduling: "lifo" });
    this.#dial = dial;
    this.on("free", (stream: Duplex) => {
      this.#usedAt.set(stream, performance.now());
      this.#sweep ??= deadline(idleMs, this.#closeIdle);
    });
  }

  /** All requests go to the one upstream. */
  override getName(): string {
    return pool;
  }

  #free(): readonly Duplex[] {
    return (this.freeSockets[pool] ?? []) as readonly Duplex[];
  }

  readonly #closeIdle = (): void => {
    this.#sweep = undefined;
    const before = performance.now() - idleMs;
    const free = this.#free();
    // Taken out of the list as they close.
    for (const stream of [...free]) if ((this.#usedAt.get(stream) ?? 0) < before) stream.destroy();
    if (free.some((stream) => !stream.destroyed)) this.#sweep = deadline(idleMs / 4, this.#closeIdle);
  };

  /** A connection that the next request can have at once. */
  offer(connection: Connection): void {
    const stream = new ConnectionDuplex(connection);
    // An upstream that has closed its half takes no further request: the agent must see the connection go.
    stream.allowHalfOpen = false;
    stream.on("error", () => {});
    this.#ready.push(stream);
  }

  /** Without one, a request would have to wait for a dial with its body half sent. */
  hasOne(): boolean {
    return this.#ready.length > 0 || this.#free().some((stream) => !stream.destroyed);
  }

  override createConnection(
    _options: unknown,
    done?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    const ready = this.#ready.pop();
    if (ready !== undefined) {
      done?.(null, ready);
      return undefined;
    }
    this.#dial().then(
      (connection) => {
        this.offer(connection);
        const stream = this.#ready.pop();
        if (stream !== undefined) done?.(null, stream);
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

  override destroy(): void {
    this.#sweep?.cancel();
    for (const stream of this.#ready.splice(0)) stream.destroy();
    super.destroy();
  }
}

/** What may be asked again without harm when nobody can tell whether it was heard (RFC 9110 §9.2.2). */
const idempotent: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"]);

/** HTTP/1.1 over connections that `dial` makes. */
export class Http1Client implements HttpClient {
  readonly #agent: DialledAgent;
  readonly #dial: () => Promise<Connection>;

  constructor(dial: () => Promise<Connection>) {
    this.#dial = dial;
    this.#agent = new DialledAgent(dial);
  }

  /** Gives it a connection that is open already. */
  offer(connection: Connection): void {
    this.#agent.offer(connection);
  }

  async request(request: HttpClientRequest): Promise<HttpClientResponse> {
    // An upstream may close a kept connection at any time, also while a request is on its way to it
    // (RFC 9112 §9.3.1). Ends at the latest when the kept ones are used up.
    for (;;) {
      if (!this.#agent.hasOne()) this.#agent.offer(await dialled(this.#dial));
      // Whoever left meanwhile would never be told to have left, and the answer never be taken.
      if (request.signal.aborted) throw new Refusal("client_closed", "the client went away");
      const outgoing = outgoingOf(this.#agent, request);
      try {
        return await responseOf(outgoing, request);
      } catch (error) {
        const again = this.#agent.onKept(outgoing) && request.body === null && idempotent.has(request.method);
        if (!again || request.signal.aborted || error instanceof TooLate) throw error;
      }
    }
  }

  close(): void {
    this.#agent.destroy();
  }
}

const isCoding = ([name]: Field): boolean => name === "transfer-encoding";

/** The upstream had its time: asking again would double it. */
class TooLate extends Refusal {}

/** What a request says of itself and its connection is said here alone. */
const saidHere: ReadonlySet<string> = new Set([
  "host",
  "connection",
  "upgrade",
  "expect",
  "transfer-encoding",
]);

/** Where no body is meant, nobody expects to be told of its length (RFC 9110 §8.6); of any other method, it is 0. */
const withoutLength: ReadonlySet<string> = new Set(["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"]);

/**
 * How the body is framed is said here, never left to the library: it sends the bodies of GET, DELETE and others
 * without any framing, and the upstream would read them as requests.
 */
function framed({ authority, fields, method, body, upgrade, expectContinue }: HttpClientRequest): string[] {
  const raw = ["host", authority];
  let hasLength = false;
  let hasTe = false;
  for (const [name, value] of fields) {
    if (saidHere.has(name)) continue;
    if (name === "te") hasTe = true;
    else if (name === "content-length") {
      // The next request would be taken for the body that was announced.
      if (body === null) continue;
      hasLength = true;
    }
    raw.push(name, value);
  }
  if (body === null && !withoutLength.has(method)) raw.push("content-length", "0");
  if (body !== null && !hasLength) raw.push("transfer-encoding", "chunked");
  if (expectContinue === true) raw.push("expect", "100-continue");
  if (upgrade !== undefined) raw.push("connection", "Upgrade", "upgrade", upgrade);
  else if (hasTe) raw.push("connection", "keep-alive, te");
  return raw;
}

function outgoingOf(agent: Agent, request: HttpClientRequest): ClientRequest {
  const options: RequestOptions & { servername: string } = {
    agent,
    // Never resolved: the agent's dial goes where the route says. It names the pool, which is this client's own.
    host: pool,
    // No TLS of the library's own: it would look for the name in `Host`, and whether that is an address.
    servername: "",
    method: request.method,
    path: request.target,
    headers: framed(request),
    setHost: false,
    maxHeaderSize: maxHeaderBytes,
  };
  return httpRequest(options);
}

function responseOf(outgoing: ClientRequest, request: HttpClientRequest): Promise<HttpClientResponse> {
  const { body, limits, signal } = request;
  return new Promise((resolve, reject) => {
    let answered = false;
    let switched = false;
    let late: Deadline | undefined;
    const aborted = (): void => {
      outgoing.destroy(new Error("the client went away"));
    };
    signal.addEventListener("abort", aborted, { once: true });
    const answer = (response: HttpClientResponse): void => {
      answered = true;
      late?.cancel();
      resolve(response);
    };
    outgoing.once("close", () => {
      signal.removeEventListener("abort", aborted);
      late?.cancel();
      if (!switched) request.over?.();
      if (!answered)
        reject(new Refusal("upstream_refused", "the upstream closed the connection without a response"));
    });
    outgoing.on("error", (error) => reject(refused(error)));
    outgoing.once("response", (incoming: IncomingMessage) => {
      const fields = fieldsOf(incoming.rawHeaders);
      const isCoded = fields.some(isCoding);
      const complete = (): boolean => incoming.complete;
      const silenceMs = limits?.silenceMs ?? null;
      answer({
        status: incoming.statusCode ?? 502,
        fields,
        body: new ResponseBody(incoming, complete, silenceMs, isCoded ? null : contentLength(fields)),
        // Only chunks leave room for any (RFC 9112 §7.1.2).
        ...(isCoded ? { trailers: () => fieldsOf(incoming.rawTrailers) } : {}),
        upgraded: null,
      });
    });
    outgoing.once("upgrade", (incoming, stream, head) => {
      stream.allowHalfOpen = true;
      switched = true;
      stream.once("close", () => request.over?.());
      answer({
        status: 101,
        fields: fieldsOf(incoming.rawHeaders),
        body: null,
        upgraded: switchedConnection(stream, head),
      });
    });
    const sent = (): void => {
      if (answered || limits === undefined) return;
      late = deadline(limits.answerMs, () =>
        outgoing.destroy(new TooLate("idle_timeout", `no answer within ${limits.answerMs} ms`)),
      );
    };
    if (body === null) {
      outgoing.end();
      sent();
      return;
    }
    const send = (): void =>
      void sendBody(request, outgoing, () => {
        const trailers = request.trailers?.() ?? [];
        if (trailers.length > 0) outgoing.addTrailers(grouped(trailers));
        outgoing.end();
        sent();
      });
    if (request.expectContinue !== true) return send();
    const waited = deadline(continueMs, () => begin());
    const begin = (): void => {
      waited.cancel();
      outgoing.off("continue", begin);
      // An answer without it: nobody wants the body (RFC 9110 §10.1.1), and this connection can't be used again.
      if (!answered) send();
    };
    outgoing.once("continue", begin);
    outgoing.once("response", () => {
      waited.cancel();
      outgoing.off("continue", begin);
    });
    outgoing.once("close", () => waited.cancel());
    outgoing.flushHeaders();
  });
}
