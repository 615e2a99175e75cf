import { inspect } from "../core/inspect.ts";
import type { Match } from "../core/match.ts";
import { type AlertName, alertRecord } from "../wire/alert.ts";
import { clientHelloParser } from "../wire/client-hello.ts";
import { parseIp } from "../wire/ip.ts";
import { encodeProxyV2 } from "../wire/proxy-protocol.ts";
import type { EdgeConfig, Origin } from "./config.ts";
import type { WebSocketStream } from "./web-socket-stream.ts";

/** The part of a Worker's TCP socket that is used here. */
export interface OriginSocket {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly opened: Promise<unknown>;
  close(): Promise<void>;
}

export type ConnectOrigin = (origin: Origin) => OriginSocket;

const helloMs = 10_000;

const alerts: Readonly<Record<Extract<Match, { ok: false }>["reason"], AlertName>> = {
  unknown_name: "unrecognized_name",
  no_protocol: "no_application_protocol",
  source_not_allowed: "access_denied",
};

/**
 * One tunnel at the edge: its ClientHello is read and matched as the router would, and what matches goes on to the
 * router as it is. Nothing is decrypted, and what matches no route never leaves the edge.
 */
export async function serveTunnel(
  client: WebSocketStream,
  config: EdgeConfig,
  connect: ConnectOrigin,
): Promise<void> {
  const late = setTimeout(() => client.abort(), helloMs);
  try {
    const hello = await inspect(client, clientHelloParser());
    clearTimeout(late);
    if (hello.kind !== "ok") {
      if (hello.kind === "no" && hello.code !== "not_tls") await refuse(client, "decode_error");
      return;
    }
    client.unread(hello.head);
    const { serverName, alpn } = hello.value;
    const source = parseIp(client.remote.address) ?? [0, 0, 0, 0];
    const match = config.table.match({ serverName, alpn, source, own: null });
    if (!match.ok) return await refuse(client, alerts[match.reason]);
    const socket = connect(config.originOf(match.route, match.captures));
    await carry(client, socket, config.sendProxy ? proxyHeader(client, serverName) : null);
  } catch {
    // The client, or the origin, is gone: there is nobody to tell, and closing is all there is to do.
  } finally {
    clearTimeout(late);
    client.abort();
  }
}

async function refuse(client: WebSocketStream, alert: AlertName): Promise<void> {
  await client.write(alertRecord(alert));
  await client.closeWrite();
}

const proxyHeader = (client: WebSocketStream, authority: string | null): Uint8Array =>
  encodeProxyV2({
    source: client.remote,
    destination: { address: client.remote.address.includes(":") ? "::" : "0.0.0.0", port: 0 },
    alpn: null,
    authority,
    tls: null,
  });

/** Both ways until both are done; where one breaks, so does the other. */
async function carry(client: WebSocketStream, socket: OriginSocket, first: Uint8Array | null): Promise<void> {
  const up = async (): Promise<void> => {
    const writer = socket.writable.getWriter();
    if (first !== null) await writer.write(first);
    for (let chunk = await client.read(); chunk !== null; chunk = await client.read())
      await writer.write(chunk);
    await writer.close();
  };
  const down = async (): Promise<void> => {
    const reader = socket.readable.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      await client.write(value);
    }
    await client.closeWrite();
  };
  try {
    await Promise.all([up(), down()]);
  } finally {
    await socket.close().catch(() => {});
  }
}
