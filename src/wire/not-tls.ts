import { more, ok, type Parsed } from "./cursor.ts";

/**
 * What first bytes look like that are no TLS: an HTTP/1 request, HTTP/2 without TLS, SSH, or a PROXY header
 * from where none is welcome. `other` says no more than that.
 */
export type NotTls = "http" | "http2" | "ssh" | "proxy" | "other";

const beginnings: readonly (readonly [NotTls, string])[] = [
  ["http2", "PRI * HTTP/2.0\r\n"],
  ["ssh", "SSH-"],
  ["proxy", "PROXY "],
  ["proxy", "\r\n\r\n\0\r\nQUIT\n"],
];

/** A method and the first character of its target (RFC 9112 §3.2); the longest registered method has 17. */
const request = /^(?:CONNECT [^ ]|[A-Z][A-Z-]{0,19} [/*h])/;
const requestCutShort = /^[A-Z][A-Z-]{0,19} ?$/;

/** More bytes than any answer depends on. */
const window = 24;

/** Looks at the first bytes of what is no TLS. Never `no`; `more` only within the first 24 bytes. */
export function parseNotTls(bytes: Uint8Array): Parsed<NotTls> {
  const head = String.fromCharCode(...bytes.subarray(0, window));
  for (const [what, beginning] of beginnings) {
    if (head.startsWith(beginning)) return ok(what, beginning.length);
    if (beginning.startsWith(head)) return more(head.length + 1);
  }
  const matched = request.exec(head);
  if (matched !== null) return ok("http", matched[0].length);
  return requestCutShort.test(head) ? more(head.length + 1) : ok("other", head.length);
}

/** The same when nothing more will come: a beginning that is cut short is `other`. */
export function looksLike(head: Uint8Array): NotTls {
  const parsed = parseNotTls(head);
  return parsed.kind === "ok" ? parsed.value : "other";
}

const body = "This port speaks TLS: use https://\n";

/** The whole answer to plain HTTP/1 on a TLS port. */
export function plainHttpAnswer(): Uint8Array {
  const head = [
    "HTTP/1.1 400 Bad Request",
    "Content-Type: text/plain; charset=utf-8",
    `Content-Length: ${body.length}`,
    "Connection: close",
  ];
  return new TextEncoder().encode(`${head.join("\r\n")}\r\n\r\n${body}`);
}
