/**
 * The least that Bun needs for the benchmark's work: two listeners, one upstream each, dialled once the client has
 * said something (which tells a router where to), bytes there and back. TLS begins when the client's hello has been
 * read, for it tells a router which certificate to show. No routing, no verification, no records, no
 * limits and no patience: what it costs is the runtime's and the kernel's.
 */
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";

interface NativeSocket {
  data: Pair;
  write(bytes: Uint8Array): number;
  shutdown(): void;
  end(): void;
  pause(): void;
  resume(): void;
  upgradeTLS(options: object): unknown;
}

interface Pair {
  peer: NativeSocket | null;
  /** Where the client's bytes go, until that is dialled. */
  upstream: number | null;
  /** What the peer has no room for, or came before it was there. */
  waiting: Uint8Array[];
}

declare const Bun: {
  listen(options: object): unknown;
  connect(options: object): Promise<NativeSocket>;
  serve(options: object): unknown;
};

const [passPort, passUpstream, termPort, termUpstream, folder, httpPort, httpUpstream] =
  process.argv.slice(2);

/** Sends on what has come for this socket; true when nothing is left. */
function flush(socket: NativeSocket, waiting: Uint8Array[]): boolean {
  for (let chunk = waiting[0]; chunk !== undefined; chunk = waiting[0]) {
    const sent = Math.max(0, socket.write(chunk));
    if (sent < chunk.length) {
      waiting[0] = chunk.subarray(sent);
      return false;
    }
    waiting.shift();
  }
  return true;
}

const events = {
  binaryType: "uint8array",
  data(socket: NativeSocket, chunk: Uint8Array) {
    const { peer, waiting, upstream } = socket.data;
    if (upstream !== null) dial(socket, upstream);
    const sent = peer === null || waiting.length > 0 ? 0 : Math.max(0, peer.write(chunk));
    if (sent === chunk.length) return;
    waiting.push(chunk.subarray(sent));
    if (peer !== null) socket.pause();
  },
  drain(socket: NativeSocket) {
    const { peer } = socket.data;
    if (peer !== null && flush(socket, peer.data.waiting)) peer.resume();
  },
  end(socket: NativeSocket) {
    socket.data.peer?.shutdown();
  },
  close(socket: NativeSocket) {
    socket.data.peer?.end();
  },
  error() {},
};

function dial(client: NativeSocket, port: number): void {
  client.data.upstream = null;
  Bun.connect({
    hostname: "127.0.0.1",
    port,
    allowHalfOpen: true,
    data: { peer: client, waiting: [], upstream: null },
    socket: events,
  }).then(
    (server) => {
      client.data.peer = server;
      flush(server, client.data.waiting);
    },
    () => client.end(),
  );
}

function listen(port: string | undefined, socket: object): void {
  Bun.listen({ hostname: "127.0.0.1", port: Number(port), allowHalfOpen: true, socket });
}

const pairTo = (upstream: string | undefined): Pair => ({
  peer: null,
  waiting: [],
  upstream: Number(upstream),
});

listen(passPort, {
  ...events,
  open(client: NativeSocket) {
    client.data = pairTo(passUpstream);
  },
});

const pem = (name: string): string => readFileSync(`${folder}/${name}`, "utf8");
const { context: secureContext } = createSecureContext({
  cert: pem("server.crt"),
  key: pem("server.key"),
  ca: pem("ca.crt"),
});
const secured = {
  ...events,
  handshake(client: NativeSocket, success: boolean) {
    if (!success) client.end();
  },
};
listen(termPort, {
  binaryType: "uint8array",
  data(client: NativeSocket, initialData: Uint8Array) {
    client.upgradeTLS({
      isServer: true,
      initialData,
      data: pairTo(termUpstream),
      tls: { secureContext, requestCert: true, rejectUnauthorized: true },
      socket: secured,
    });
  },
  error() {},
});

// HTTP by Bun's own server and client, which speak HTTP/1.1.
Bun.serve({
  hostname: "127.0.0.1",
  port: Number(httpPort),
  tls: { cert: pem("server.crt"), key: pem("server.key") },
  fetch: ({ url, method, headers, body }: Request) => {
    const { pathname, search } = new URL(url);
    const asked = { method, headers, body, redirect: "manual", decompress: false } as const;
    return fetch(`http://127.0.0.1:${httpUpstream}${pathname}${search}`, asked);
  },
});
