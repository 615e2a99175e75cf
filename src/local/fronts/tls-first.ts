import { inspect } from "../../core/inspect.ts";
import type { Connection } from "../../types.ts";
import { clientHelloParser } from "../../wire/client-hello.ts";
import { ok } from "../../wire/cursor.ts";
import type { Back } from "./front.ts";

/** The first byte of a TLS handshake record (RFC 8446 §5.1). */
const handshakeRecord = 22;

/**
 * For clients that speak first: TLS is taken off where one begins with it, with the first protocol it offers that is
 * among `alpn`. `null` when it went without a word.
 */
export async function withoutTls(
  client: Connection,
  back: Back,
  alpn: readonly string[],
): Promise<Connection | null> {
  const first = await inspect(client, (bytes) => ok(bytes[0], 1));
  if (first.kind !== "ok") return null;
  client.unread(first.head);
  if (first.value !== handshakeRecord) return client;
  const hello = await inspect(client, clientHelloParser());
  client.unread(hello.head);
  const offered = hello.kind === "ok" ? hello.value.alpn : [];
  return back.terminate(client, offered.find((id) => alpn.includes(id)) ?? null);
}
