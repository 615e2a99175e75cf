/**
 * The least that Deno needs for the benchmark's work: two listeners, one upstream each, dialled once the client has
 * said something (which tells a router where to), bytes there and back. No routing, no verification of ours, no records, no limits and no patience: what it costs is the runtime's and the
 * kernel's. Its own TLS asks no client for a certificate, so that part is `node:tls`, as simply as it can be used.
 */
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { createServer } from "node:tls";
import { forwardHttp } from "./http.ts";

interface NativeConn {
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  closeWrite(): Promise<void>;
  close(): void;
}

declare const Deno: {
  listen(options: { hostname: string; port: number }): AsyncIterable<NativeConn>;
  connect(options: { hostname: string; port: number }): Promise<NativeConn>;
};

const [passPort, passUpstream, termPort, termUpstream, folder = "", httpPort, httpUpstream] =
  process.argv.slice(2);
const hostname = "127.0.0.1";

const smallRead = 4 * 1024;

async function pump(from: NativeConn, to: NativeConn): Promise<void> {
  let buffer = new Uint8Array(smallRead);
  for (;;) {
    const count = await from.read(buffer);
    if (count === null) return to.closeWrite();
    for (let sent = 0; sent < count; ) sent += await to.write(buffer.subarray(sent, count));
    if (count === buffer.length) buffer = new Uint8Array(64 * 1024);
  }
}

async function serve(client: NativeConn): Promise<void> {
  const first = new Uint8Array(smallRead);
  const count = (await client.read(first)) ?? 0;
  const server = await Deno.connect({ hostname, port: Number(passUpstream) });
  await server.write(first.subarray(0, count));
  await Promise.allSettled([pump(client, server), pump(server, client)]);
  client.close();
  server.close();
}

const pem = (name: string): string => readFileSync(`${folder}/${name}`, "utf8");
createServer(
  {
    cert: pem("server.crt"),
    key: pem("server.key"),
    ca: pem("ca.crt"),
    requestCert: true,
    rejectUnauthorized: true,
    allowHalfOpen: true,
  },
  (client) => {
    client.on("error", () => {});
    client.once("readable", () => {
      const server = connect({ host: hostname, port: Number(termUpstream), allowHalfOpen: true });
      server.on("error", () => {});
      client.pipe(server);
      server.pipe(client);
    });
  },
).listen(Number(termPort), hostname);

forwardHttp(httpPort, httpUpstream, folder);

for await (const client of Deno.listen({ hostname, port: Number(passPort) }))
  serve(client).catch(() => client.close());
