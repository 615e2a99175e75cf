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

interface Way {
  readonly from: Side;
  readonly to: Side;
  own: Buffer | null;
}

/** What has come from one goes to the other, and no more is read before that has room. */
function arrived(way: Way): Buffer | undefined {
  const { from, to, own } = way;
  const count = state[handles.readResult] ?? 0;
  if (count > 0) {
    const request = new handles.WriteRequest();
    const bytes = own === null ? Buffer.from(sharedPlace.subarray(0, count)) : own.subarray(0, count);
    request.bytes = bytes;
    request.oncomplete = from.stream.readStart.bind(from.stream);
    if (to.stream.writeBuffer(request, bytes) === 0 && state[handles.wroteLater] !== 0)
      from.stream.readStop();
    if (own !== null || count < placeBytes) return undefined;
    way.own = Buffer.allocUnsafeSlow(placeBytes);
    return way.own;
  }
  if (count === 0 || from.ended) return undefined;
  from.ended = true;
  if (count === handles.endOfFile && !to.ended) shutDown(to);
  else for (const { close } of [from, to]) close();
  return undefined;
}

/** Bound, as all that is kept for a connection: V8 keeps closures, and all they lead to, from being collected young. */
function pipe(from: Side, to: Side): void {
  from.stream.onread = arrived.bind(undefined, { from, to, own: null });
}

function dialled(client: Side, server: Side, first: Uint8Array, status: number): void {
  if (status !== 0) {
    for (const { close } of [client, server]) close();
    return;
  }
  const stream = server.stream as SocketHandle;
  stream.setNoDelay?.(true);
  stream.useUserBuffer(sharedPlace);
  pipe(client, server);
  pipe(server, client);
  const request = new handles.WriteRequest();
  request.bytes = first;
  request.oncomplete = nothing;
  stream.writeBuffer(request, first);
  stream.readStart();
  client.stream.readStart();
}

function said(client: Side, port: number): undefined {
  const count = state[handles.readResult] ?? 0;
  if (count < 0) client.close();
  if (count <= 0) return undefined;
  const first = Buffer.from(sharedPlace.subarray(0, count));
  client.stream.readStop();
  const stream = new handles.Socket(handles.socketType);
  const server: Side = { stream, close: stream.close.bind(stream, nothing), ended: false };
  const dial = new handles.ConnectRequest();
  dial.oncomplete = dialled.bind(undefined, client, server, first);
  stream.connect(dial, host, port);
  return undefined;
}

function forward(client: Side, port: string | undefined): void {
  client.stream.useUserBuffer(sharedPlace);
  client.stream.onread = said.bind(undefined, client, Number(port));
  client.stream.readStart();
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
  forward({ stream: socket, close: socket.close.bind(socket, nothing), ended: false }, passUpstream),
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
