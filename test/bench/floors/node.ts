/**
 * The least that Node needs for the benchmark's work: two listeners, one upstream each, dialled once the client has
 * said something (which tells a router where to), bytes there and back; HTTP. No routing, no verification of ours, no
 * records, no limits and no patience: what it costs is the runtime's and the
 * kernel's.
 */
import { readFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { forwardHttp } from "./http.ts";

const [passPort, passUpstream, termPort, termUpstream, folder = "", httpPort, httpUpstream] =
  process.argv.slice(2);
const host = "127.0.0.1";

const forwardTo =
  (port: string | undefined) =>
  (client: Socket): void => {
    client.on("error", () => {});
    client.once("readable", () => {
      const server = connect({ host, port: Number(port), allowHalfOpen: true });
      server.on("error", () => {});
      client.pipe(server);
      server.pipe(client);
    });
  };

const pem = (name: string): string => readFileSync(`${folder}/${name}`, "utf8");
createServer({ allowHalfOpen: true }, forwardTo(passUpstream)).listen(Number(passPort), host);
createTlsServer(
  {
    cert: pem("server.crt"),
    key: pem("server.key"),
    ca: pem("ca.crt"),
    requestCert: true,
    rejectUnauthorized: true,
    allowHalfOpen: true,
  },
  forwardTo(termUpstream),
).listen(Number(termPort), host);
forwardHttp(httpPort, httpUpstream, folder);
