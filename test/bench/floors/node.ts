/**
 * The least that Node needs for the benchmark's work: two listeners, one upstream each, dialled once the client has
 * said something (which tells a router where to), bytes there and back; HTTP. No routing, no verification of ours, no
 * records, no limits and no patience: what it costs is the runtime's and the kernel's. It stands on libuv's handles, as
 * `node:net` and `node:tls` do, without their sockets and streams.
 */
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { createSecureContext } from "node:tls";
import { findHandles, type SocketHandle, type StreamHandle } from "../../../src/runtime/handles.ts";
import { forwardHttp } from "./http.ts";

const [passPort, passUpstream, termPort, termUpstream, folder = "", httpPort, httpUpstream] =
  process.argv.slice(2);
const host = "127.0.0.1";
const placeBytes = 64 * 1024;

const found = findHandles();
if (found === null) throw new Error("there are no handles that are known");
const handles = found;
const { state } = handles;

/** Where all read who have not filled it yet. */
const sharedPlace = Buffer.allocUnsafeSlow(placeBytes);

interface Side {
  readonly stream: StreamHandle;
  readonly close: () => void;
  ended: boolean;
}

/** Nobody else keeps TLS over a socket, or what would close it. */
const open = new Set<Side>();

const nothing = (): void => {};

function shutDown({ stream }: Side): void {
  const request = new handles.ShutdownRequest();
  request.oncomplete = nothing;
  stream.shutdown(request);
}

/** What comes from one goes to the other, and is not read before that has room. */
function pipe(from: Side, to: Side): void {
  let own: Buffer | null = null;
  const { stream } = from;
  stream.onread = () => {
    const count = state[handles.readResult] ?? 0;
    if (count > 0) {
      const request = new handles.WriteRequest();
      const bytes = own === null ? Buffer.from(sharedPlace.subarray(0, count)) : own.subarray(0, count);
      request.bytes = bytes;
      request.oncomplete = () => stream.readStart();
      if (to.stream.writeBuffer(request, bytes) === 0 && state[handles.wroteLater] !== 0) stream.readStop();
      if (own !== null || count < placeBytes) return undefined;
      own = Buffer.allocUnsafeSlow(placeBytes);
      return own;
    }
    if (count === 0 || from.ended) return undefined;
    from.ended = true;
    if (count === handles.endOfFile && !to.ended) shutDown(to);
    else for (const { close } of [from, to]) close();
    return undefined;
  };
}

function forward(client: Side, upstream: string | undefined): void {
  const { stream } = client;
  stream.useUserBuffer(sharedPlace);
  stream.onread = () => {
    const count = state[handles.readResult] ?? 0;
    if (count < 0) client.close();
    if (count <= 0) return undefined;
    const first = Buffer.from(sharedPlace.subarray(0, count));
    stream.readStop();
    const dialled = new handles.Socket(handles.socketType);
    const server: Side = { stream: dialled, close: () => dialled.close(), ended: false };
    const dial = new handles.ConnectRequest();
    dial.oncomplete = (status) => {
      if (status !== 0) {
        for (const { close } of [client, server]) close();
        return;
      }
      dialled.setNoDelay?.(true);
      dialled.useUserBuffer(sharedPlace);
      pipe(client, server);
      pipe(server, client);
      const request = new handles.WriteRequest();
      request.bytes = first;
      request.oncomplete = nothing;
      dialled.writeBuffer(request, first);
      dialled.readStart();
      stream.readStart();
    };
    dialled.connect(dial, host, Number(upstream));
    return undefined;
  };
  stream.readStart();
}

function listen(port: string | undefined, accept: (socket: SocketHandle) => void): void {
  const server = createServer().listen(Number(port), host, () => {
    const { _handle: listening } = server as unknown as {
      _handle: { onconnection: (failure: number, socket: SocketHandle) => void };
    };
    listening.onconnection = (failure, socket) => {
      if (failure !== 0) return;
      socket.setNoDelay?.(true);
      accept(socket);
    };
  });
}

const pem = (name: string): string => readFileSync(`${folder}/${name}`, "utf8");
const { context } = createSecureContext({
  cert: pem("server.crt"),
  key: pem("server.key"),
  ca: pem("ca.crt"),
  sessionIdContext: "floor",
});

listen(passPort, (socket) =>
  forward({ stream: socket, close: () => socket.close(), ended: false }, passUpstream),
);
listen(termPort, (socket) => {
  const stream = handles.secure(socket, context, true, false);
  stream.setVerifyMode(true, true);
  stream.onhandshakestart = nothing;
  stream.onhandshakedone = nothing;
  const close = (): void =>
    socket.close(() => {
      open.delete(client);
      stream.destroySSL();
    });
  const client: Side = { stream, close, ended: false };
  open.add(client);
  stream.onerror = close;
  forward(client, termUpstream);
});
forwardHttp(httpPort, httpUpstream, folder);
