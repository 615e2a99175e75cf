import type { HttpFields, HttpRequest, HttpResponse } from "./exchange.ts";
import type { Problem } from "./problem.ts";

/** What gRPC clients make of HTTP statuses (grpc/doc/http-grpc-status-mapping.md). */
const codes: Readonly<Record<number, number>> = {
  400: 13,
  401: 16,
  403: 7,
  404: 12,
  429: 14,
  502: 14,
  503: 14,
  504: 14,
};
const unknown = 2;

const typeOf = (fields: HttpFields): string =>
  fields.find(([name]) => name === "content-type")?.[1].toLowerCase() ?? "";

/** Whether a request is a gRPC call, whose client reads statuses of gRPC and no bodies. */
const isGrpc = ({ version, fields }: HttpRequest): boolean =>
  version === "2" && /^application\/grpc($|[+;])/.test(typeOf(fields));

/**
 * An answer of our own as the client of this request reads it: gRPC has a head that is all there is, with the status
 * in it ("Trailers-Only" in its protocol), and a message that is percent-encoded.
 */
export function inItsOwnWords(request: HttpRequest, answer: Problem): HttpResponse {
  if (!isGrpc(request)) return answer;
  return {
    status: 200,
    fields: [
      ["content-type", "application/grpc"],
      ["grpc-status", String(codes[answer.status] ?? unknown)],
      [
        "grpc-message",
        `${answer.reason}: ${answer.detail}`.replace(/[^\x20-\x24\x26-\x7e]/gu, encodeURIComponent),
      ],
    ],
    body: null,
  };
}
