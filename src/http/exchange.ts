import type { Connection } from "../types.ts";

/** Its name is in lower case. */
export type Field = readonly [name: string, value: string];

/** Header fields in order; no pseudo-headers. */
export type HttpFields = readonly Field[];

export interface HttpBody extends AsyncIterable<Uint8Array> {
  /**
   * All of it, where all of it is here already: whoever sends it on need not wait for its parts. Nothing is left to be
   * read behind it. `null`: it must be read.
   */
  takeWhole?(): Uint8Array | null;
}

/** Fields that came behind a body; empty until it has been read to its end. */
export type HttpTrailers = () => HttpFields;

/** A request as it came, HTTP/1.1 and HTTP/2 alike. */
export interface HttpRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** `:authority`, or `Host`; `null` without one. */
  readonly authority: string | null;
  readonly version: "1.0" | "1.1" | "2";
  readonly fields: HttpFields;
  /** `null` when there can be none. Read with back-pressure; a client that waits for 100 is told at the first read. */
  readonly body: HttpBody | null;
  readonly trailers?: HttpTrailers;
  /** What an extended CONNECT asks for (RFC 8441 §4). */
  readonly protocol?: string;
}

export interface HttpResponse {
  readonly status: number;
  readonly fields: HttpFields;
  /** Where it throws, the response is cut so that nobody takes it for complete. */
  readonly body: HttpBody | null;
  readonly trailers?: HttpTrailers;
  /** Nothing is read behind this request: where it ends is in doubt. HTTP/2 has frames for that. */
  readonly last?: boolean;
}

/**
 * What is needed of an `AbortSignal`, which is one: every request has its own, and a real one costs more than the rest
 * of a request's bookkeeping together.
 */
export interface Cancellation {
  readonly aborted: boolean;
  addEventListener(type: "abort", listener: () => void, options?: { once?: boolean }): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** One request under way. */
export interface HttpExchange {
  readonly request: HttpRequest;
  /** Aborted when the client goes away. */
  readonly signal: Cancellation;
  /** Resolves when the response is written, or the client is gone. */
  respond(response: HttpResponse): Promise<void>;
  /**
   * For a request that asks to switch protocols: gives the bare stream, behind 101 in HTTP/1.1 and behind 200 for an
   * extended CONNECT (RFC 8441 §5).
   */
  upgrade(fields: HttpFields): Connection;
}

export interface HttpServing {
  /** Must answer every exchange; what it throws becomes a 500 without details. */
  handle(exchange: HttpExchange): Promise<void>;
  /** Whether an answer is under way that may say nothing for hours: the connection is then not idle. */
  mayBeSilent?(): boolean;
}

/** A request towards an upstream. */
export interface HttpClientRequest {
  readonly method: string;
  readonly target: string;
  readonly authority: string;
  readonly fields: HttpFields;
  readonly body: HttpBody | null;
  readonly trailers?: HttpTrailers;
  readonly signal: Cancellation;
  /** The protocol to switch to. */
  readonly upgrade?: string;
  /** Lets the upstream say first whether it wants the body (RFC 9110 §10.1.1). */
  readonly expectContinue?: boolean;
  readonly limits?: HttpLimits;
  /** Called once, when the connection to the upstream is free of this request. */
  readonly over?: () => void;
}

export interface HttpLimits {
  /** From the end of the request to the head of its answer, milliseconds. */
  readonly answerMs: number;
  /** Between two parts of the answer's body, milliseconds; `null`: any. */
  readonly silenceMs: number | null;
}

export type HttpClientResponse = HttpResponse & {
  /** Set when the upstream switched protocols: the bare stream. */
  readonly upgraded: Connection | null;
};

/** HTTP over connections that somebody else dials; keeps idle ones for the next request. */
export interface HttpClient {
  /**
   * Rejects with a `Refusal`: `upstream_unreachable`, `upstream_refused`, `idle_timeout`, `limit_reached`; an
   * `Unsent` where nobody acted on the request.
   */
  request(request: HttpClientRequest): Promise<HttpClientResponse>;
  close(): void;
}

/** What a client speaks with its upstream: one protocol, or what the two agree on in TLS (ALPN). */
export type HttpProtocol = "http/1.1" | "h2" | "negotiated";

/** Makes a connection; where there is TLS, these protocols are offered in it, and the connection says which it is. */
export type HttpDial = (alpn: readonly string[]) => Promise<Connection>;
