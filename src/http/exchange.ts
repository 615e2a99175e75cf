import type { Connection } from "../types.ts";

/** Header fields in order; names in lower case; no pseudo-headers. */
export type HttpFields = readonly (readonly [name: string, value: string])[];

export type HttpBody = AsyncIterable<Uint8Array>;

/** A request as it came, HTTP/1.1 and HTTP/2 alike. */
export interface HttpRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  /** `:authority`, or `Host`; `null` without one. */
  readonly authority: string | null;
  readonly version: "1.0" | "1.1" | "2";
  readonly fields: HttpFields;
  /** `null` when there can be none. Read with back-pressure. */
  readonly body: HttpBody | null;
}

export interface HttpResponse {
  readonly status: number;
  readonly fields: HttpFields;
  /** Where it throws, the response is cut so that nobody takes it for complete. */
  readonly body: HttpBody | null;
}

/** One request under way. */
export interface HttpExchange {
  readonly request: HttpRequest;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
  /** Resolves when the response is written, or the client is gone. */
  respond(response: HttpResponse): Promise<void>;
  /** For a request that asks to switch protocols (HTTP/1.1): answers 101 and gives the bare stream. */
  upgrade(fields: HttpFields): Connection;
}

export interface HttpServing {
  /** Must answer every exchange; what it throws becomes a 500 without details. */
  handle(exchange: HttpExchange): Promise<void>;
}

/** A request towards an upstream. */
export interface HttpClientRequest {
  readonly method: string;
  readonly target: string;
  readonly authority: string;
  readonly fields: HttpFields;
  readonly body: HttpBody | null;
  readonly signal: AbortSignal;
}

export type HttpClientResponse = HttpResponse & {
  /** Set when the upstream answered 101: the bare stream. */
  readonly upgraded: Connection | null;
};

/** HTTP over connections that somebody else dials; keeps idle ones for the next request. */
export interface HttpClient {
  /** Rejects with a `Refusal`: `upstream_unreachable`, `upstream_refused`. */
  request(request: HttpClientRequest): Promise<HttpClientResponse>;
  close(): void;
}
