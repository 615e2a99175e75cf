import { Refusal } from "../errors.ts";
import type { Connection } from "../types.ts";
import { type AlertName, alertRecord } from "../wire/alert.ts";
import { type ClientHello, clientHelloParser, parseClientHello } from "../wire/client-hello.ts";
import { no, type Parsed } from "../wire/cursor.ts";
import { parseNotTls, plainHttpAnswer } from "../wire/not-tls.ts";
import { type Inspected, inspect, inspectFrom } from "./inspect.ts";
import { lingeringClose } from "./linger.ts";
import type { Adapter, Clear, Handler, Opening } from "./session.ts";

const alerts: Partial<Record<Refusal["reason"], AlertName>> = {
  bad_client_hello: "decode_error",
  unknown_name: "unrecognized_name",
  no_protocol: "no_application_protocol",
  source_not_allowed: "access_denied",
  limit_reached: "internal_error",
};

/** Answers with the alert that is due before any TLS state exists. */
export async function refuseInClear(connection: Connection, refusal: Refusal): Promise<Refusal> {
  const alert = alerts[refusal.reason];
  if (alert !== undefined) await lingeringClose(connection, alertRecord(alert));
  return refusal;
}

/** A protocol that begins in the clear, on this listener. */
export interface OpeningHere {
  readonly adapter: Adapter;
  readonly opening: Opening;
}

/** What the first bytes came to. */
export interface Begun {
  readonly hello: ClientHello;
  /** Where another protocol came first: who handles it, on routes of which adapter. */
  readonly led: { readonly adapter: string; readonly handler: Handler } | null;
}

/** The protocols that begin in the clear on one listener. */
export interface Openings {
  /** The one whose server speaks first, if there is one: it is spoken with everybody then. */
  readonly serverFirst: OpeningHere | null;
  /** Those that are told by their first bytes. */
  readonly others: readonly OpeningHere[];
}

/**
 * Reads up to the ClientHello, which is put back; `null` where the connection came for something else, and that is
 * done. Throws a `Refusal`, once the client was told as far as it can be. At once where the hello is whole.
 *
 * @param first what was read of the connection, of which nobody has had anything yet
 * @param proxied whether PROXY headers are believed from anybody
 */
export function readHello(
  connection: Connection,
  first: Uint8Array | null,
  { others }: Openings,
  clear: Clear,
  proxied: boolean,
): Begun | Promise<Begun | null> {
  // Nearly all come in one piece.
  const whole = first === null ? null : parseClientHello(first);
  if (first !== null && whole?.kind === "ok") {
    connection.unread(first);
    return { hello: whole.value, led: null };
  }
  const hello = inspectFrom(first, connection, clientHelloParser());
  if (hello instanceof Promise)
    return hello.then((inspected) => begunBy(inspected, connection, others, clear, proxied));
  return begunBy(hello, connection, others, clear, proxied);
}

function begunBy(
  first: Inspected<ClientHello>,
  connection: Connection,
  openings: readonly OpeningHere[],
  clear: Clear,
  proxied: boolean,
): Begun | Promise<Begun | null> {
  if (first.kind !== "ok") return notHello(first, connection, openings, clear, proxied);
  connection.unread(first.head);
  return { hello: first.value, led: null };
}

/** What the first bytes are the beginning of, if not of a ClientHello. */
async function notHello(
  first: Exclude<Inspected<ClientHello>, { kind: "ok" }>,
  connection: Connection,
  openings: readonly OpeningHere[],
  clear: Clear,
  proxied: boolean,
): Promise<Begun | null> {
  if (first.kind === "closed") throw await cutShort(connection, first.head);
  if (first.code !== "not_tls")
    throw await refuseInClear(connection, new Refusal("bad_client_hello", first.detail));

  connection.unread(first.head);
  if (openings.length > 0) {
    const begun = await inspect(connection, anyOf(openings));
    connection.unread(begun.head);
    if (begun.kind === "ok") return lead(connection, begun.value, clear);
  }
  const looked = await inspect(connection, parseNotTls);
  const kind = looked.kind === "ok" ? looked.value : "other";
  if (kind === "http" || kind === "http2") {
    await lingeringClose(connection, plainHttpAnswer());
    throw new Refusal("not_tls", "plain HTTP");
  }
  if (kind === "proxy") {
    if (proxied)
      throw new Refusal("proxy_header_invalid", "a PROXY header from a source that is not believed");
    throw new Refusal("not_tls", "a PROXY header, and SALLYPORT_PROXY_PROTOCOL is off");
  }
  throw new Refusal("not_tls", kind === "ssh" ? "SSH without TLS" : first.detail);
}

/** Speaks another protocol up to the ClientHello, as `readHello` does. */
export async function lead(
  connection: Connection,
  { adapter, opening }: OpeningHere,
  clear: Clear,
): Promise<Begun | null> {
  const handler = await opening.lead(connection, clear);
  if (handler === null) return null;
  const hello = await inspect(connection, clientHelloParser());
  if (hello.kind === "closed") throw await cutShort(connection, hello.head);
  if (hello.kind === "no")
    throw await refuseInClear(connection, new Refusal("bad_client_hello", hello.detail));
  connection.unread(hello.head);
  return { hello: hello.value, led: { adapter: adapter.name, handler } };
}

/** The first of them that the bytes are the beginning of. */
const anyOf =
  (openings: readonly OpeningHere[]) =>
  (bytes: Uint8Array): Parsed<OpeningHere> => {
    let undecided: Parsed<OpeningHere> = no("not_tls", "the beginning of nothing that is spoken here");
    for (const one of openings) {
      const begins = one.opening.begins?.(bytes);
      if (begins?.kind === "ok") return { kind: "ok", value: one, used: begins.used };
      if (begins?.kind === "more") undecided = begins;
    }
    return undecided;
  };

async function cutShort(connection: Connection, head: Uint8Array): Promise<Refusal> {
  if (head.length === 0) return new Refusal("client_closed", "closed before a word");
  return refuseInClear(connection, new Refusal("bad_client_hello", "closed inside the ClientHello"));
}
