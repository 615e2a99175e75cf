import { connect, type Socket } from "node:net";
import { tcpUpstream, tlsUpstream, type Upstream } from "./upstreams.ts";

export interface ConnectProxy {
  readonly port: number;
  /** What was asked for: the request line, and the credentials that were shown. */
  readonly asked: readonly { readonly line: string; readonly authorization: string | null }[];
  close(): void;
}

/**
 * An HTTP proxy that knows CONNECT alone.
 *
 * @param answer what it says to a request instead of making a tunnel; `null`: it makes one
 * @param pair with which it speaks TLS itself
 */
export async function startConnectProxy(
  answer: (authorization: string | null) => string | null = () => null,
  pair: { readonly cert: string; readonly key: string } | null = null,
): Promise<ConnectProxy> {
  const asked: { line: string; authorization: string | null }[] = [];
  const serve = (client: Socket): void => {
    let head = Buffer.alloc(0);
    const onData = (chunk: Buffer): void => {
      head = Buffer.concat([head, chunk]);
      const end = head.indexOf("\r\n\r\n");
      if (end < 0) return;
      client.off("data", onData);
      const text = head.subarray(0, end).toString();
      const [line = ""] = text.split("\r\n");
      const authorization = /^proxy-authorization: *(.*)$/im.exec(text)?.[1] ?? null;
      asked.push({ line, authorization });
      const refusal = answer(authorization);
      if (refusal !== null) return void client.end(refusal);
      const [, host = "", port = ""] = /^CONNECT ([^ ]+):(\d+) HTTP\/1\.1$/.exec(line) ?? [];
      const upstream = connect({ host, port: Number(port), allowHalfOpen: true }, () => {
        client.write("HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n");
        upstream.write(head.subarray(end + 4));
        client.pipe(upstream).pipe(client);
      });
      upstream.on("error", () => client.end("HTTP/1.1 502 Bad Gateway\r\n\r\n"));
      client.once("close", () => upstream.destroy());
    };
    client.on("data", onData);
  };
  const upstream: Upstream = await (pair === null ? tcpUpstream(serve) : tlsUpstream(pair, serve));
  return { ...upstream, asked };
}
