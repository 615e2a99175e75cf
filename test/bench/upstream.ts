import { readFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";

/**
 * The service behind every subject, in a process of its own. The client's first line says what to do:
 * `E` echo, `D n` send n bytes and close, `U n` take n bytes and say so.
 */
const block = Buffer.alloc(256 * 1024, 0x61);

function download(socket: Socket, count: number): void {
  let left = count;
  const push = (): void => {
    while (left > 0) {
      const size = Math.min(left, block.length);
      left -= size;
      if (!socket.write(size === block.length ? block : block.subarray(0, size))) {
        socket.once("drain", push);
        return;
      }
    }
    socket.end();
  };
  push();
}

function serve(socket: Socket): void {
  socket.setNoDelay(true);
  socket.on("error", () => {});
  socket.once("data", (first: Buffer) => {
    const end = first.indexOf(10);
    const [what, number = "0"] = first.subarray(0, end).toString().split(" ");
    const rest = first.subarray(end + 1);
    if (what === "D") download(socket, Number(number));
    else if (what === "U") {
      let left = Number(number) - rest.length;
      socket.on("data", (chunk) => {
        left -= chunk.length;
        if (left <= 0) socket.end("ok\n");
      });
    } else {
      if (rest.length > 0) socket.write(rest);
      socket.on("data", (chunk) => socket.write(chunk));
    }
  });
}

const [cert = "", key = ""] = process.argv.slice(2);
const plain = createServer(serve).listen(0, "127.0.0.1", () => {
  const tls = createTlsServer({ cert: readFileSync(cert), key: readFileSync(key) }, serve).listen(
    0,
    "127.0.0.1",
    () => {
      const port = (server: { address(): unknown }): number => (server.address() as AddressInfo).port;
      process.stdout.write(`${JSON.stringify({ plain: port(plain), tls: port(tls) })}\n`);
    },
  );
});
