import { more, no, ok, type Parsed } from "../cursor.ts";
import { kinds, llhttp, paused, roomBytes } from "./llhttp.ts";

/** Its name is in lower case; its value has no blanks around it, and one character for each byte. */
export type Field = readonly [name: string, value: string];

/** Where a message's body ends (RFC 9112 §6.3). */
export type Framing =
  | { readonly kind: "none" }
  | { readonly kind: "length"; readonly bytes: number }
  | { readonly kind: "chunked" }
  | { readonly kind: "until-close" };

export interface RequestHead {
  readonly method: string;
  readonly target: string;
  /** `1.0`, `1.1`, or another that is none of ours. */
  readonly version: string;
  /** In order, repeated ones each by itself. */
  readonly fields: readonly Field[];
  readonly framing: Framing;
  /** Whether the client lets another request follow. */
  readonly keepAlive: boolean;
  /** Whether it asks to switch protocols. */
  readonly upgrade: boolean;
  /** Bytes of the head. */
  readonly size: number;
}

export interface ResponseHead {
  readonly status: number;
  readonly version: "1.0" | "1.1";
  /** In order, repeated ones each by itself. */
  readonly fields: readonly Field[];
  readonly framing: Framing;
  /** Whether the server lets another request follow. */
  readonly keepAlive: boolean;
  /** Bytes of the head. */
  readonly size: number;
}

const none: Framing = { kind: "none" };
const chunked: Framing = { kind: "chunked" };
const untilClose: Framing = { kind: "until-close" };

const blank = (code: number): boolean => code === 0x20 || code === 0x09;

/** llhttp leaves the blanks behind a value (RFC 9112 §5). */
function withoutBlanks(text: string): string {
  let end = text.length;
  while (end > 0 && blank(text.charCodeAt(end - 1))) end--;
  return end === text.length ? text : text.slice(0, end);
}

/** What a run found of a head, or what it says of bytes that are none. */
function headIn(bytes: Uint8Array, maxBytes: number, of: "request" | "response"): Parsed<never> | string {
  const parser = llhttp();
  const most = Math.min(maxBytes, roomBytes);
  const length = Math.min(bytes.length, most);
  const code = of === "request" ? parser.requestHead(bytes, length) : parser.responseHead(bytes, length);
  if (code === paused && parser.complete) return parser.text(0, parser.used);
  if (code !== 0) return no("malformed", parser.reason(of));
  return bytes.length >= most ? no("too_large", `more than ${most} bytes of fields`) : more(bytes.length + 1);
}

function fieldsIn(text: string): Field[] {
  const { kind, start, length, count } = llhttp();
  const fields: Field[] = [];
  for (let i = 0; i < count; i++) {
    if (kind[i] !== kinds.name) continue;
    const at = start[i] ?? 0;
    const name = text.slice(at, at + (length[i] ?? 0)).toLowerCase();
    const valueAt = start[i + 1] ?? 0;
    const value = kind[i + 1] === kinds.value ? text.slice(valueAt, valueAt + (length[i + 1] ?? 0)) : "";
    fields.push([name, withoutBlanks(value)]);
  }
  return fields;
}

const digits = /^\d{1,15}$/;

/**
 * By its fields, in words where two readers could see different ends (RFC 9112 §6.1, §6.3, §11.2): in much of that
 * llhttp is strict by itself, and the rest is refused here.
 */
function framingOf(fields: readonly Field[], version: string): Framing | string {
  let length: string | null = null;
  let coding: string | null = null;
  for (const [name, value] of fields) {
    if (name === "content-length") {
      if (length !== null) return "two Content-Length fields";
      length = value;
    } else if (name === "transfer-encoding") {
      if (coding !== null) return "two Transfer-Encoding fields";
      coding = value;
    }
  }
  if (length !== null && !digits.test(length)) return "a Content-Length that is no number";
  if (coding === null) return length === null ? none : { kind: "length", bytes: Number(length) };
  if (version !== "1.1") return `a Transfer-Encoding in HTTP/${version}`;
  if (length !== null) return "both Content-Length and Transfer-Encoding";
  return coding.toLowerCase() === "chunked" ? chunked : "a Transfer-Encoding other than chunked";
}

/** llhttp takes more than one space in a request line, and protocols that are not HTTP: here there is one form (RFC 9112 §3). */
const versionForm = /^ HTTP\/(\d\.\d)$/;
const methodForm = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/**
 * Reads a request's head: llhttp does, in its strictest mode, and what it lets pass that a gate should not is refused
 * behind it.
 *
 * @param maxBytes of the head, 64 KiB at most
 */
export function parseRequestHead(bytes: Uint8Array, maxBytes: number): Parsed<RequestHead> {
  const text = headIn(bytes, maxBytes, "request");
  if (typeof text !== "string") return text;
  const { start, length, upgrade, keepAlive, used } = llhttp();
  // Always the first part, of a length that is not nothing.
  const targetAt = start[0] ?? 0;
  const targetEnd = targetAt + (length[0] ?? 0);
  const target = text.slice(targetAt, targetEnd);
  // Behind the empty lines that may stand before it (RFC 9112 §2.2).
  const method = text.slice(text.lastIndexOf("\n", targetAt) + 1, targetAt - 1);
  if (!methodForm.test(method)) return no("malformed", "a request line with blanks");
  const behind = text.slice(targetEnd, text.indexOf("\r", targetEnd));
  const version = behind === " HTTP/1.1" ? "1.1" : versionForm.exec(behind)?.[1];
  if (version === undefined) return no("malformed", "a request line that is none");
  const fields = fieldsIn(text);
  const framing = framingOf(fields, version);
  if (typeof framing === "string") return no("malformed", framing);
  let hosts = 0;
  for (const [name] of fields) if (name === "host") hosts++;
  if (hosts > 1) return no("malformed", "two Host fields");
  if (hosts === 0 && version === "1.1") return no("malformed", "no Host");
  const value = {
    method,
    target,
    version,
    fields,
    framing,
    keepAlive,
    upgrade: upgrade && method !== "CONNECT",
    size: used,
  };
  return ok(value, used);
}

/** Empty lines may stand before it; llhttp takes protocols that are not HTTP here, too. */
const ownVersion = /^[\r\n]*HTTP\/(1\.[01])/;

/** Whether `Connection` says it. */
const connectionSays = (fields: readonly Field[], token: string): boolean =>
  fields.some(
    ([name, value]) =>
      name === "connection" && value.split(",").some((each) => each.trim().toLowerCase() === token),
  );

/**
 * Reads a response's head, as `parseRequestHead` does. Interim ones (1xx) are heads like any other.
 *
 * @param asked the method of the request that it answers: some have answers without a body
 * @param maxBytes of the head, 64 KiB at most
 */
export function parseResponseHead(
  bytes: Uint8Array,
  asked: { readonly method: string },
  maxBytes: number,
): Parsed<ResponseHead> {
  const text = headIn(bytes, maxBytes, "response");
  if (typeof text !== "string") return text;
  const { status, used } = llhttp();
  const version = text.startsWith("HTTP/1.1") ? "1.1" : ownVersion.exec(text)?.[1];
  if (version !== "1.1" && version !== "1.0") return no("unsupported", "neither HTTP/1.1 nor HTTP/1.0");
  if (status < 100) return no("malformed", "a status below 100");
  const fields = fieldsIn(text);
  const bodiless =
    status < 200 ||
    status === 204 ||
    status === 304 ||
    asked.method === "HEAD" ||
    (asked.method === "CONNECT" && status < 300);
  const said = framingOf(fields, version);
  if (typeof said === "string") return no("malformed", said);
  const framing = bodiless ? none : said.kind === "none" ? untilClose : said;
  // There is none behind 204 (RFC 9110 §8.6, RFC 9112 §6.1): what announces one may send it, as late as it likes.
  const announced = status === 204 && (said.kind === "chunked" || (said.kind === "length" && said.bytes > 0));
  const keepAlive =
    !announced &&
    framing.kind !== "until-close" &&
    (version === "1.1" ? !connectionSays(fields, "close") : connectionSays(fields, "keep-alive"));
  return ok({ status, version, fields, framing, keepAlive, size: used }, used);
}
