import type { HttpFields, HttpRequest } from "./exchange.ts";
import { announcesBody } from "./hop-by-hop.ts";
import { type Problem, problem } from "./problem.ts";

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// The case of a method counts (RFC 9110 §9.1), and a library for HTTP/1.1 sends them all in capitals: none may become
// another on its way.
const methodToken = /^[!#$%&'*+\-.^_`|~0-9A-Z]+$/;
// RFC 9110 §5.5; above ASCII as it came.
const value = /^[\t\x20-\x7e\x80-\xff]*$/;
const originForm = /^\/[\x21-\x7e\x80-\xff]*$/;
const absoluteForm = /^https?:\/\/([^/?#]*)([^#]*)$/i;
const authorityForm = /^([A-Za-z0-9._~%!$&'()*+;=-]+|\[[0-9A-Fa-f:.]+\])(:\d{0,5})?$/;

/** What says where a request ends, and whom it is for. */
const framing: ReadonlySet<string> = new Set(["content-length", "transfer-encoding", "host"]);

/** Most fields of most requests: nothing is wrong with these names, in any version. */
const wellKnown: ReadonlySet<string> = new Set([
  "accept",
  "accept-encoding",
  "accept-language",
  "authorization",
  "cache-control",
  "content-length",
  "content-type",
  "cookie",
  "host",
  "origin",
  "referer",
  "user-agent",
]);

const connectionOnly: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/** Who and what a request is for. */
export interface Asked {
  /** Host and, if it gave one, port. */
  readonly authority: string;
  /** Path and query, or `*`. */
  readonly target: string;
}

/**
 * What makes two parsers see different messages in the same bytes (RFC 9112 §6.3, §11.2), or what HTTP/2 can
 * carry and HTTP/1.1 can't (RFC 9113 §8.2, §10.3). Checked here because the runtimes' libraries check it each in
 * its own way: in words, or `null` where all is well.
 */
function malformed({ method, version, fields, body }: HttpRequest): string | null {
  if (!methodToken.test(method)) return "a method that is no token in capitals";
  for (const [name, text] of fields) {
    if (wellKnown.has(name)) {
      if (!value.test(text)) return `a control character in ${name}`;
      continue;
    }
    if (!token.test(name)) return "a field name that is no token";
    if (!value.test(text)) return `a control character in ${name}`;
    // Many servers read an underscore as a dash.
    if (name.includes("_") && framing.has(name.replaceAll("_", "-"))) return `a field called ${name}`;
    if (version === "2" && (connectionOnly.has(name) || (name === "te" && text.toLowerCase() !== "trailers")))
      return `${name} in HTTP/2 (RFC 9113 §8.2.2)`;
  }
  // Whoever asks to switch protocols has no body here, whether or not we let it: an upstream that was told of one
  // would take the next request on its connection for it.
  if (body === null && announcesBody(fields)) return "a request to switch protocols with a body";
  return ambiguousFraming(fields, version);
}

function ambiguousFraming(fields: HttpFields, version: HttpRequest["version"]): string | null {
  let length: string | null = null;
  let coding: string | null = null;
  let hosts = 0;
  for (const [name, text] of fields) {
    if (name === "content-length") {
      if (length !== null) return "two Content-Length fields";
      length = text;
    } else if (name === "transfer-encoding") {
      if (coding !== null) return "a Transfer-Encoding other than chunked";
      coding = text;
    } else if (name === "host") hosts++;
  }
  if (length !== null && !/^\d{1,15}$/.test(length)) return "a Content-Length that is no number";
  if (coding !== null && version !== "1.1") return `a Transfer-Encoding in HTTP/${version}`;
  if (length !== null && coding !== null) return "both Content-Length and Transfer-Encoding";
  if (coding !== null && coding.trim().toLowerCase() !== "chunked")
    return "a Transfer-Encoding other than chunked";
  if (hosts > 1) return "two Host fields";
  return null;
}

/** Reads who and what a request is for. A string says what is wrong with it: it must be answered with 400. */
export function readRequest(request: HttpRequest): Asked | string {
  const wrong = malformed(request);
  if (wrong !== null) return wrong;
  const { version, fields } = request;
  let { authority, target } = request;
  const host = fields.find(([name]) => name === "host")?.[1];
  if (version === "2" && host !== undefined && host.toLowerCase() !== authority?.toLowerCase()) {
    return "a Host other than the :authority (RFC 9113 §8.3.1)";
  }
  const absolute = version === "2" ? null : absoluteForm.exec(target);
  if (absolute !== null) {
    // It counts, and Host does not (RFC 9112 §3.2.2); an upstream might hold with the other.
    authority = absolute[1] ?? "";
    target = absolute[2] ?? "";
    if (!target.startsWith("/")) target = `/${target}`;
  }
  if (authority === null) return "no Host";
  if (!authorityForm.test(authority)) return "a Host that is none";
  const asterisk = target === "*" && request.method === "OPTIONS";
  if (!asterisk && !originForm.test(target)) return "a target that is no path";
  return { authority, target };
}

/** The host of an authority: lower case, without its port and final dot. */
export const hostOf = (authority: string): string =>
  authority.replace(/:\d*$/, "").replace(/\.$/, "").toLowerCase();

/**
 * Who and what a request is for, on a connection that was admitted for `serverName`; or the answer that turns it
 * away: a connection admitted for one name must not be used for another (RFC 9110 §7.4, RFC 9113 §9.1.1).
 */
export function admitted(request: HttpRequest, serverName: string | null): Asked | Problem {
  const asked = readRequest(request);
  if (typeof asked === "string") return problem(400, "protocol_error", asked);
  if (serverName === null || asked.authority === serverName) return asked;
  if (hostOf(asked.authority) === hostOf(serverName)) return asked;
  return problem(421, "unknown_name", "this connection was made for another name");
}
