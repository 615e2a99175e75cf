import { no, ok, type Parsed } from "../cursor.ts";
import { type Capabilities, capability, has } from "./capabilities.ts";
import { Reader, text, Writer } from "./reader.ts";

/** A client's answer to the greeting ("HandshakeResponse41"). */
export interface Login extends Capabilities {
  readonly maxPacket: number;
  readonly charset: number;
  readonly user: string;
  /** The answer to the password's question. */
  readonly answer: Uint8Array;
  readonly database: string | null;
  /** The way to log in that the answer was made by; `null` where the client knows of only one. */
  readonly plugin: string | null;
  /** What the client says of itself, as it stands in the packet. */
  readonly attributes: Uint8Array | null;
}

const zeros = 19;
const sslRequestBytes = 32;

const flagsOf = (bytes: Uint8Array): number => new Reader(bytes).uint(4) ?? 0;

/** Whether a client's first packet asks for TLS before it says who it is (`SSLRequest`). */
export const mysqlAsksTls = (payload: Uint8Array): boolean =>
  payload.length === sslRequestBytes && (flagsOf(payload) & capability.tls) !== 0;

/** A client's login without its wish for TLS, for a server that offered none. */
export function mysqlWithoutTls(response: Uint8Array): Uint8Array {
  const copy = response.slice();
  copy[1] = (copy[1] ?? 0) & ~(capability.tls >> 8);
  return copy;
}

export function parseLogin(payload: Uint8Array): Parsed<Login> {
  const reader = new Reader(payload);
  const flags = reader.uint(4) ?? 0;
  if ((flags & capability.protocol41) === 0)
    return no("unsupported", "a client older than MySQL 4.1, or none of MySQL's");
  const maxPacket = reader.uint(4);
  const charset = reader.uint(1);
  reader.bytes(zeros);
  const extended = reader.uint(4) ?? 0;
  const basic = { flags, extended: (flags & capability.mysql) === 0 ? extended : 0 };
  const user = reader.zeroEnded();
  const answer = has(basic, capability.lengthEncodedAuth)
    ? reader.bytes(reader.lengthEncoded() ?? Number.POSITIVE_INFINITY)
    : has(basic, capability.secureConnection)
      ? reader.bytes(reader.uint(1) ?? Number.POSITIVE_INFINITY)
      : reader.zeroEnded();
  if (maxPacket === undefined || charset === undefined || user === undefined || answer === undefined)
    return no("malformed", "a login that ends too early");
  // Some clients leave out the last zero.
  const named = (flag: number): string | null => {
    if (!has(basic, flag) || reader.left === 0) return null;
    const bytes = reader.zeroEnded();
    return bytes === undefined ? null : text(bytes);
  };
  const database = named(capability.connectWithDatabase);
  const plugin = named(capability.pluginAuth);
  const attributes =
    has(basic, capability.connectAttributes) && reader.left > 0
      ? (reader.bytes(reader.lengthEncoded() ?? Number.POSITIVE_INFINITY) ?? null)
      : null;
  return ok(
    {
      ...basic,
      maxPacket,
      charset,
      user: text(user),
      answer,
      database: database === "" ? null : database,
      plugin: plugin === "" ? null : plugin,
      attributes,
    },
    payload.length,
  );
}

const begun = (login: Login): Writer =>
  new Writer()
    .uint(4, login.flags)
    .uint(4, login.maxPacket)
    .uint(1, login.charset)
    .bytes(new Uint8Array(zeros))
    .uint(4, login.extended);

/** What asks for TLS ahead of the same login, in which the flag must stand too. */
export const sslRequestPayload = (login: Login): Uint8Array => begun(login).done();

/** The login's payload; its answer has fewer than 64 KiB, and fewer than 256 where lengths are bytes. */
export function loginPayload(login: Login): Uint8Array {
  const writer = begun(login).zeroEnded(login.user);
  if (has(login, capability.lengthEncodedAuth)) writer.lengthEncoded(login.answer);
  else writer.uint(1, login.answer.length).bytes(login.answer);
  if (has(login, capability.connectWithDatabase)) writer.zeroEnded(login.database ?? "");
  if (has(login, capability.pluginAuth)) writer.zeroEnded(login.plugin ?? "");
  if (has(login, capability.connectAttributes)) writer.lengthEncoded(login.attributes ?? new Uint8Array(0));
  return writer.done();
}
