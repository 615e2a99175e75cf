import {
  createServer as createHttpServer,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { atEnd } from "./at-end.ts";

export interface Upstream {
  readonly port: number;
  close(): void;
}

function listening(server: Server | HttpServer): Promise<Upstream> {
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => open.delete(socket));
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => {
      const close = (): void => {
        server.close();
        for (const socket of open) socket.destroy();
      };
      atEnd(close);
      resolve({ port: (server.address() as AddressInfo).port, close });
    });
  });
}

/** A TCP service on a free port of the loopback. */
export const tcpUpstream = (serve: (socket: Socket) => void): Promise<Upstream> =>
  listening(createServer({ allowHalfOpen: true }, serve));

export const tlsUpstream = (
  pair: { cert: string; key: string; ca?: string; ALPNProtocols?: string[] },
  serve: (socket: Socket) => void,
): Promise<Upstream> =>
  listening(
    createTlsServer(
      {
        ...pair,
        requestCert: pair.ca !== undefined,
        rejectUnauthorized: pair.ca !== undefined,
        allowHalfOpen: true,
      },
      serve,
    ),
  );

export const echo = (socket: Socket): void => {
  socket.on("error", () => {});
  socket.pipe(socket);
};

export const httpUpstream = (
  serve: (request: IncomingMessage, response: ServerResponse) => void,
  upgrade?: (request: IncomingMessage, socket: Socket) => void,
): Promise<Upstream> => {
  const server = createHttpServer(serve);
  if (upgrade !== undefined) server.on("upgrade", upgrade);
  return listening(server);
};
