import { readFileSync } from "node:fs";
import { type AddressInfo, connect as connectTcp, createServer } from "node:net";
import { createInterface } from "node:readline";
import { connect } from "node:tls";

/**
 * A program: clients that never stop connecting, one connection after the other, and the service that they are after,
 * which says back what it hears. Arguments: a site's folder, the name to ask for. Prints the service's port; reads the
 * router's port, connects until the next line, then prints what came of it.
 */
const [folder = "", name = ""] = process.argv.slice(2);
const clients = 4;
const patienceMs = 30_000;
/** They are not to take the machine from the routers that are to start meanwhile. */
const pauseMs = 20;

const echo = createServer((socket) => {
  socket.on("error", () => {});
  socket.pipe(socket);
});
await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
console.log((echo.address() as AddressInfo).port);

const tls = {
  servername: name,
  ca: readFileSync(`${folder}/ca.crt`),
  cert: readFileSync(`${folder}/alice.crt`),
  key: readFileSync(`${folder}/alice.key`),
};

/** One connection: handshake, a word there and back, its end. Rejects with where it went wrong. */
const once = (port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    let stage = "connecting";
    const raw = connectTcp({ host: "127.0.0.1", port });
    const failed = (error: Error): void => {
      clearTimeout(late);
      raw.destroy();
      reject(new Error(`${stage}: ${error.message}`));
    };
    const late = setTimeout(() => failed(new Error(`nothing for ${patienceMs} ms`)), patienceMs);
    raw.on("error", failed);
    raw.once("connect", () => {
      stage = "shaking hands";
    });
    const socket = connect({ socket: raw, ...tls });
    socket.on("error", failed);
    socket.once("secureConnect", () => {
      stage = "speaking";
      socket.write("word");
    });
    socket.once("data", () => {
      stage = "over";
      clearTimeout(late);
      socket.end();
      resolve();
    });
    socket.once("end", () => failed(new Error("closed")));
  });

let stopped = false;
let done = 0;
const failures: string[] = [];
const client = async (port: number): Promise<void> => {
  while (!stopped) {
    try {
      await once(port);
      done++;
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
};

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const port = Number((await lines.next()).value);
const running = Array.from({ length: clients }, () => client(port));
await lines.next();
stopped = true;
await Promise.all(running);
console.log(JSON.stringify({ done, failures }));
process.exit();
