import { readFileSync } from "node:fs";
import { connect as connectTcp, type Socket } from "node:net";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { atEnd } from "./at-end.ts";
import type { Site } from "./router.ts";

/** Which of this process's connections had a port last, counted from the first one. */
const dialled = new Map<number, number>();
let count = 0;
export const dialledSoFar = (): number => count;
/** How many were dialled before the one with this port; `undefined` where it is none of ours. */
export const dialledBefore = (port: number): number | undefined => dialled.get(port);

function connectCounted(port: number): Socket {
  const at = count++;
  const socket = connectTcp({ host: "127.0.0.1", port, allowHalfOpen: true });
  socket.once("connect", () => dialled.set(socket.localPort ?? 0, at));
  return socket;
}

/** A TLS connection to the router, with the certificate of that name. Rejects when the handshake fails. */
export function dial(
  site: Site,
  port: number,
  serverName: string,
  more: ConnectionOptions & { readonly as?: string | null } = {},
): Promise<TLSSocket> {
  const { as = "alice", ...options } = more;
  const pair =
    as === null
      ? {}
      : { cert: readFileSync(`${site.folder}/${as}.crt`), key: readFileSync(`${site.folder}/${as}.key`) };
  return new Promise((resolve, reject) => {
    const raw = connectCounted(port);
    raw.once("error", reject);
    const socket = connect({
      socket: raw,
      servername: serverName,
      ca: readFileSync(`${site.folder}/ca.crt`),
      ...pair,
      ...options,
    });
    atEnd(() => socket.destroy());
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      socket.off("error", reject);
      socket.on("error", () => {});
      resolve(socket);
    });
  });
}

/** Everything that comes until the other side has ended, or `ms` have passed. */
export function readAll(socket: Socket, ms = 60_000): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const done = (): void => {
      clearTimeout(late);
      resolve(Buffer.concat(chunks));
    };
    const late = setTimeout(() => {
      socket.destroy();
      done();
    }, ms);
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.once("end", done);
    socket.once("close", done);
    socket.on("error", () => {});
  });
}

/** What comes first, or `null` when the other side closes without a word. */
export function firstBytes(socket: Socket, ms = 60_000): Promise<Buffer | null> {
  return new Promise((resolve) => {
    const late = setTimeout(() => resolve(null), ms);
    const done = (answer: Buffer | null): void => {
      clearTimeout(late);
      resolve(answer);
    };
    socket.once("data", (chunk: Buffer) => done(chunk));
    socket.once("end", () => done(null));
    socket.once("close", () => done(null));
    socket.on("error", () => {});
  });
}

/** A plain TCP connection. */
export function dialTcp(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectCounted(port);
    socket.once("error", reject);
    atEnd(() => socket.destroy());
    socket.once("connect", () => {
      socket.off("error", reject);
      socket.on("error", () => {});
      resolve(socket);
    });
  });
}
