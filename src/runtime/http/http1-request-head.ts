import { Refusal } from "../../errors.ts";
import type { Field, HttpClientRequest } from "../../http/exchange.ts";
import { headText, requestLine } from "../../wire/http1/head-text.ts";

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

const digits = /^\d{1,15}$/;

/** The body's length as the request announces it; `null` where it is sent in chunks. Throws where it says two things. */
export function announcedLength({ fields }: Pick<HttpClientRequest, "fields">): number | null {
  let length: string | null = null;
  for (const [name, value] of fields) {
    if (name !== "content-length" || value === length) continue;
    if (length !== null || !digits.test(value))
      throw new Refusal("protocol_error", "the request does not say how long its body is");
    length = value;
  }
  return length === null ? null : Number(length);
}

/**
 * A request's head, as text of one byte a character. Throws where a field or the target would end where it should not.
 *
 * @param length of the body where that is known; `null`: it is sent in chunks, where there is any
 */
export function requestHead(request: HttpClientRequest, length: number | null): string {
  const { authority, method, body, upgrade } = request;
  const fields: Field[] = [["host", authority]];
  let hasTe = false;
  for (const field of request.fields) {
    const name = field[0];
    // The next request would be taken for the body that is announced.
    if (saidHere.has(name) || name === "content-length") continue;
    if (name === "te") hasTe = true;
    fields.push(field);
  }
  if (body === null) {
    if (!withoutLength.has(method)) fields.push(["content-length", "0"]);
  } else fields.push(length === null ? ["transfer-encoding", "chunked"] : ["content-length", String(length)]);
  if (request.expectContinue === true) fields.push(["expect", "100-continue"]);
  if (upgrade !== undefined) fields.push(["connection", "Upgrade"], ["upgrade", upgrade]);
  else if (hasTe) fields.push(["connection", "keep-alive, te"]);
  return headText(requestLine(method, request.target), fields);
}
