import { more, no, ok, type Parsed } from "./cursor.ts";

/** All that a proxy may say before a tunnel begins, interim responses included. */
export const maxProxyAnswer = 16 * 1024;

/** What a proxy says to a CONNECT. */
export interface ProxyAnswer {
  readonly status: number;
  /** For people; printable ASCII, often empty. */
  readonly phrase: string;
}

const lineFeed = 10;
const carriageReturn = 13;

/**
 * A request for a tunnel to a host and port (RFC 9110 §9.3.6).
 *
 * @param authority `host:port`
 * @param credentials for `Proxy-Authorization`, as it stands there
 */
export function connectRequest(authority: string, credentials: string | null): Uint8Array {
  const proves = credentials === null ? "" : `Proxy-Authorization: ${credentials}\r\n`;
  return new TextEncoder().encode(
    `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\nUser-Agent: sallyport\r\n${proves}\r\n`,
  );
}

/** The end of the line that begins here: behind its LF, alone where that is lenient (RFC 9112 §2.2). */
const endOfLine = (bytes: Uint8Array, start: number): number => bytes.indexOf(lineFeed, start) + 1;

function text(line: Uint8Array): string {
  const end = line.at(-2) === carriageReturn ? line.length - 2 : line.length - 1;
  let found = "";
  for (const byte of line.subarray(0, end))
    found += byte < 0x20 || byte > 0x7e ? " " : String.fromCharCode(byte);
  return found;
}

/**
 * Reads a proxy's answer up to the end of its fields: what follows a 2xx is the tunnel, whatever the fields say of
 * content (RFC 9110 §9.3.6). Interim responses are passed over (§15.2).
 */
export function parseProxyAnswer(bytes: Uint8Array): Parsed<ProxyAnswer> {
  let at = 0;
  for (;;) {
    let end = endOfLine(bytes, at);
    const head = end === 0 ? bytes.subarray(at) : bytes.subarray(at, end);
    // What is no HTTP is known by its first bytes, long before a line of it is over.
    for (const [i, expected] of [..."HTTP/1."].entries())
      if (head[i] !== undefined && head[i] !== expected.charCodeAt(0))
        return no("malformed", "something that is no HTTP");
    if (end === 0) return unfinished(bytes);
    const [, digits, phrase = ""] = /^HTTP\/1\.[01] ([1-9]\d\d)(?: (.*))?$/.exec(text(head)) ?? [];
    if (digits === undefined) return no("malformed", "a status line that is none");
    for (let start = end; ; start = end) {
      end = endOfLine(bytes, start);
      if (end === 0) return unfinished(bytes);
      const length = end - start;
      if (length === 1 || (length === 2 && bytes[start] === carriageReturn)) break;
    }
    if (end > maxProxyAnswer) return tooLarge();
    const status = Number(digits);
    if (status >= 200) return ok({ status, phrase: phrase.trim() }, end);
    // A tunnel can't begin with another protocol that was never asked for (§15.2.2).
    if (status === 101) return no("malformed", "101, which nobody asked for");
    at = end;
  }
}

const tooLarge = (): Parsed<never> => no("too_large", `more than ${maxProxyAnswer} bytes of fields`);
const unfinished = ({ length }: Uint8Array): Parsed<never> =>
  length >= maxProxyAnswer ? tooLarge() : more(length + 1);
