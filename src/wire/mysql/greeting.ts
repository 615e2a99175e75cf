import { no, ok, type Parsed } from "../cursor.ts";
import { type Capabilities, capability, has } from "./capabilities.ts";
import { Reader, text, Writer } from "./reader.ts";

/** A server's greeting (protocol 10, "HandshakeV10"). */
export interface Greeting extends Capabilities {
  readonly version: string;
  readonly connectionId: number;
  /** What an answer to a password's question is made with. */
  readonly challenge: Uint8Array;
  readonly charset: number;
  readonly status: number;
  /** The way to log in that the server begins with; `null` where it knows of only one. */
  readonly plugin: string | null;
}

const firstChallenge = 8;
/** Its second part has at least this, a zero at the end included. */
const secondChallenge = 13;

export function parseGreeting(payload: Uint8Array): Parsed<Greeting> {
  const reader = new Reader(payload, 1);
  const version = reader.zeroEnded();
  const connectionId = reader.uint(4);
  const challenge = reader.bytes(firstChallenge);
  reader.uint(1);
  const low = reader.uint(2);
  if (payload[0] !== 10 || version === undefined || connectionId === undefined || challenge === undefined)
    return no("malformed", "no greeting of protocol 10");
  if (low === undefined) return no("malformed", "a greeting without capabilities");
  const charset = reader.uint(1) ?? 0;
  const status = reader.uint(2) ?? 0;
  const flags = low + (reader.uint(2) ?? 0) * 0x10000;
  const size = reader.uint(1) ?? 0;
  reader.bytes(6);
  const extended = reader.uint(4) ?? 0;
  const basic = { flags, extended: (flags & capability.mysql) === 0 ? extended : 0 };
  const rest = reader.bytes(Math.min(reader.left, Math.max(secondChallenge, size - firstChallenge)));
  const plugin = has(basic, capability.pluginAuth) ? (reader.zeroEnded() ?? null) : null;
  return ok(
    {
      ...basic,
      version: text(version),
      connectionId,
      challenge: withoutZero(
        new Writer()
          .bytes(challenge)
          .bytes(rest ?? new Uint8Array(0))
          .done(),
      ),
      charset,
      status,
      plugin: plugin === null ? null : text(plugin),
    },
    payload.length,
  );
}

/** Challenges are sent with a zero behind them. */
export const withoutZero = (bytes: Uint8Array): Uint8Array =>
  bytes[bytes.length - 1] === 0 ? bytes.subarray(0, -1) : bytes;

/** The greeting's payload; its challenge has 20 bytes. */
export function greetingPayload(greeting: Greeting): Uint8Array {
  const { flags, extended, challenge, plugin } = greeting;
  const writer = new Writer()
    .uint(1, 10)
    .zeroEnded(greeting.version)
    .uint(4, greeting.connectionId)
    .bytes(challenge.subarray(0, firstChallenge))
    .uint(1, 0)
    .uint(2, flags)
    .uint(1, greeting.charset)
    .uint(2, greeting.status)
    .uint(2, flags >>> 16)
    .uint(1, has(greeting, capability.pluginAuth) ? challenge.length + 1 : 0)
    .bytes(new Uint8Array(6))
    .uint(4, extended)
    .zeroEnded(challenge.subarray(firstChallenge));
  return (plugin === null ? writer : writer.zeroEnded(plugin)).done();
}

/** Where the lower capability flags stand; `null` in what is no greeting. */
function flagsAt(payload: Uint8Array): number | null {
  if (payload[0] !== 10) return null;
  const versionEnd = payload.indexOf(0, 1);
  // Connection id, eight bytes of the challenge, a zero.
  const at = versionEnd + 1 + 4 + firstChallenge + 1;
  return versionEnd < 0 || payload.length < at + 2 ? null : at;
}

/** Whether a server's greeting offers TLS; `null` where it is no greeting (an error, most often). */
export function mysqlOffersTls(greeting: Uint8Array): boolean | null {
  const at = flagsAt(greeting);
  return at === null ? null : ((greeting[at + 1] ?? 0) & (capability.tls >> 8)) !== 0;
}

/** The greeting with TLS offered, and all else as it was. */
export function mysqlWithTls(greeting: Uint8Array): Uint8Array {
  const at = flagsAt(greeting);
  const copy = greeting.slice();
  if (at !== null) copy[at + 1] = (copy[at + 1] ?? 0) | (capability.tls >> 8);
  return copy;
}
