/** What first bytes look like that are no TLS. `other` says no more than that. */
export type NotTls = "http" | "http2" | "ssh" | "proxy" | "other";

const beginnings: readonly (readonly [NotTls, string])[] = [
  ["http2", "PRI * HTTP/2.0"],
  ["ssh", "SSH-"],
  ["proxy", "PROXY "],
  ["proxy", "\r\n\r\n\0\r\nQUIT\n"],
  ...["GET ", "HEAD ", "POST ", "PUT ", "DELETE ", "OPTIONS ", "PATCH ", "CONNECT ", "TRACE "].map(
    (method) => ["http", method] as const,
  ),
];

/** Looks at the first bytes; a beginning that is cut short is `other`. */
export function looksLike(head: Uint8Array): NotTls {
  let text = "";
  for (const byte of head.subarray(0, 16)) text += String.fromCharCode(byte);
  return beginnings.find(([, beginning]) => text.startsWith(beginning))?.[0] ?? "other";
}

const body = "This port speaks TLS: use https://\n";

/** The whole answer to plain HTTP/1 on a TLS port. */
export function plainHttpAnswer(): Uint8Array {
  return new TextEncoder().encode(
    `HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
}
