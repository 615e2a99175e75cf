import { connect, createServer, type Server } from "node:net";

// Below those that systems give to whoever asks for any port, so that no connection takes one in the meantime.
const first = 10_240;
const count = 8192;

function listens(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(undefined));
    server.listen(port, "127.0.0.1", () => resolve(server));
  });
}

/**
 * A port for a program that can't say which one it took. It is this process's own until that ends: as long it listens
 * on another one, which stands for it, so that of several that ask at the same time no two get the same.
 */
export async function freePort(): Promise<number> {
  for (let i = 0; i < count; i++) {
    const port = first + Math.floor(Math.random() * count);
    const claim = await listens(port + count);
    if (claim === undefined) continue;
    const probe = await listens(port);
    if (probe !== undefined) {
      claim.unref();
      await new Promise((resolve) => probe.close(resolve));
      return port;
    }
    claim.close();
  }
  throw new Error("no port is free");
}

function canDial(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** Resolves once somebody listens there. */
export async function answers(port: number): Promise<void> {
  for (let i = 0; i < 2400; i++) {
    if (await canDial(port)) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`nothing answers on ${port}`);
}
