import { more, no, ok, type Parsed } from "./cursor.ts";

/** RFC 4253 §4.2: the longest identification, its CR LF included. */
export const maxIdentification = 255;
/** All that a server may say in lines before its identification; the RFC sets no limit. */
export const maxBefore = 8192;

const lineFeed = 10;
const carriageReturn = 13;
const prefix = [0x53, 0x53, 0x48, 0x2d]; // SSH-

/** What one side says of itself. */
export interface Identification {
  /** `2.0`, or `1.99` of a server that also speaks 1.x (RFC 4253 §5.1). */
  readonly protocol: string;
  /** The software, with comments where there are any: what follows `SSH-2.0-`. Printable ASCII. */
  readonly software: string;
}

/** Whether an identification begins here: `undefined` where there are too few bytes to say. */
function begins(bytes: Uint8Array, start: number): boolean | undefined {
  for (const [i, expected] of prefix.entries()) {
    const byte = bytes[start + i];
    if (byte === undefined) return undefined;
    if (byte !== expected) return false;
  }
  return true;
}

function read(line: Uint8Array): Parsed<Identification> {
  const end = line.at(-2) === carriageReturn ? line.length - 2 : line.length - 1;
  let text = "";
  for (const byte of line.subarray(0, end)) {
    // "The 'protoversion' and 'softwareversion' strings MUST consist of printable US-ASCII characters".
    if (byte < 0x20 || byte > 0x7e) return no("malformed", "an SSH identification that is no text");
    text += String.fromCharCode(byte);
  }
  const [, protocol = "", software = ""] = /^SSH-([^-]*)-(.*)$/.exec(text) ?? [];
  if (software === "") return no("malformed", "an SSH identification without a version or software");
  if (protocol !== "2.0" && protocol !== "1.99")
    return no("unsupported", `SSH ${protocol}, which is not 2.0`);
  return ok({ protocol, software }, line.length);
}

/**
 * Reads an identification (RFC 4253 §4.2). A bare LF ends one too, as the RFC allows for. `used` is up to its end.
 *
 * @param from whose it is: other lines may come before a server's, and nothing before a client's
 */
export function parseIdentification(bytes: Uint8Array, from: "client" | "server"): Parsed<Identification> {
  let start = 0;
  for (;;) {
    const found = begins(bytes, start);
    const end = bytes.indexOf(lineFeed, start);
    if (found === true) {
      const length = (end < 0 ? bytes.length : end + 1) - start;
      if (length > maxIdentification || (end < 0 && length === maxIdentification))
        return no("too_large", `an SSH identification of more than ${maxIdentification} bytes`);
      if (end < 0) return more(bytes.length + 1);
      const parsed = read(bytes.subarray(start, end + 1));
      return parsed.kind === "ok" ? ok(parsed.value, end + 1) : parsed;
    }
    if (from === "client" && found === false) return no("malformed", "no SSH");
    if ((end < 0 ? bytes.length : end + 1) > maxBefore)
      return no("too_large", `no SSH identification within ${maxBefore} bytes`);
    if (end < 0) return more(bytes.length + 1);
    start = end + 1;
  }
}
