import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { schemes } from "../adapters/registry.ts";
import { Authority, createAuthority } from "../authority/authority.ts";
import { loadConfig } from "../config/load.ts";
import type { ConnectionRecord } from "../core/record.ts";
import { createLog } from "../observe/log.ts";
import { files, isTerminal } from "../runtime/files.ts";
import { exists, writeAtomically } from "../runtime/key-files.ts";
import { selectRuntime } from "../runtime/select.ts";
import { onSignals } from "../runtime/signals.ts";
import { selfTest } from "../self-test/self-test.ts";
import { startServer } from "../server.ts";
import type { CliIo, Command } from "./command.ts";
import { lifetime, options } from "./options.ts";

const hourMs = 3_600_000;

const listen = (server: Server): Promise<number> =>
  new Promise((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)),
  );

/** A web app that shows what the router told it. */
const webApp = createHttpServer((request, response) => {
  response.setHeader("content-type", "text/plain");
  response.end(
    `Hello from a web app that only listens on loopback.\nIt was told: ${request.headers.forwarded}\n`,
  );
});

/** A line echo: any protocol over plain TCP. */
const echo = createServer((socket) => {
  socket.on("error", () => {});
  socket.write("Hello from a plain TCP service. Say something.\n");
  socket.pipe(socket);
});

const colours = { served: "32", refused: "31", failed: "33", dim: "2", bold: "1" } as const;

const paint = (on: boolean) => (colour: keyof typeof colours, text: string) =>
  on ? `\u001b[${colours[colour]}m${text}\u001b[0m` : text;

const bytes = (count: number): string => (count < 10_000 ? `${count} B` : `${Math.round(count / 1000)} kB`);

/** One line a connection, as it ends. */
function liveLine(record: ConnectionRecord, colour: ReturnType<typeof paint>): string {
  const who = record.identity?.subject ?? "nobody";
  const head = `${record.time.slice(11, 19)} ${colour(record.outcome, record.outcome.padEnd(7))}`;
  const route = `${record.sni ?? "no name"}${record.alpn === null ? "" : ` (${record.alpn})`}`;
  if (record.outcome === "served") {
    return `${head} ${route} -> ${record.route} as ${who}, ${bytes(record.bytes_in)} in, ${bytes(record.bytes_out)} out, ${record.tls ?? "TLS passed through"}${record.resumed ? ", resumed" : ""}`;
  }
  return `${head} ${route}: ${colour("bold", record.reason)}${record.detail === null ? "" : ` ${colour("dim", `(${record.detail})`)}`}`;
}

async function certificates(folder: string): Promise<void> {
  const authority = await Authority.open(await createAuthority("Sallyport demo"));
  const stranger = await Authority.open(await createAuthority("Somebody else"));
  const save = (name: string, pair: { cert: string; key: string }): void => {
    writeAtomically(join(folder, `${name}.key`), pair.key, true);
    writeAtomically(join(folder, `${name}.crt`), pair.cert, false);
  };
  writeAtomically(join(folder, "ca.crt"), `${authority.certificate.toString("pem")}\n`, false);
  save(
    "server",
    await authority.server(["localhost", "web.localhost", "echo.localhost", "ssh.localhost"], 8 * hourMs),
  );
  save(
    "alice",
    await authority.client(
      { commonName: "alice", groups: ["payments"], emails: ["alice@example.com"] },
      8 * hourMs,
    ),
  );
  save("bob", await authority.client({ commonName: "bob", groups: ["kitchen"] }, 8 * hourMs));
  save("mallory", await stranger.client({ commonName: "alice", groups: ["payments"] }, 8 * hourMs));
}

/** True when an SSH server answers on this machine and there is a client to reach it with. */
async function sshIsHere(path: string | undefined): Promise<boolean> {
  const client = (path ?? "").split(delimiter).some((folder) => exists(join(folder, "ssh")));
  if (!client) return false;
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port: 22 });
    const done = (answered: boolean): void => {
      socket.destroy();
      resolve(answered);
    };
    socket.once("data", (chunk: Buffer) => done(chunk.subarray(0, 4).toString() === "SSH-"));
    socket.once("error", () => done(false));
    socket.setTimeout(500, () => done(false));
  });
}

function introduce(
  io: CliIo,
  folder: string,
  port: number,
  ssh: boolean,
  colour: ReturnType<typeof paint>,
): void {
  const as = (name: string): string => `--cert ${folder}/${name}.crt --key ${folder}/${name}.key`;
  const ca = `--cacert ${folder}/ca.crt`;
  // Not every resolver knows that *.localhost is this machine.
  const to = (name: string): string =>
    `--resolve ${name}.localhost:${port}:127.0.0.1 https://${name}.localhost:${port}`;
  io.out(colour("bold", `Sallyport is up: one port, 127.0.0.1:${port}.`));
  io.out("Paste these into another terminal, and watch here what becomes of each connection:\n");
  const command = (what: string, text: string): void => {
    io.out(colour("dim", `# ${what}`));
    io.out(`${text}\n`);
  };
  command("a web app, as alice, over HTTP/2", `curl ${ca} ${as("alice")} ${to("web")}/`);
  command(
    "the router's own word on who you are",
    `curl ${ca} ${as("alice")} https://localhost:${port}/v1/whoami`,
  );
  command(
    "any TCP service on the same port, told apart by name and ALPN",
    `(echo hello; sleep 1) | openssl s_client -quiet -no_ign_eof -connect 127.0.0.1:${port} -servername echo.localhost -alpn sallyport-tcp -CAfile ${folder}/ca.crt -cert ${folder}/alice.crt -key ${folder}/alice.key`,
  );
  if (ssh) {
    const through = `openssl s_client -quiet -connect 127.0.0.1:${port} -servername ssh.localhost -alpn sallyport-tcp -CAfile ${folder}/ca.crt -cert ${folder}/alice.crt -key ${folder}/alice.key`;
    command(
      "this machine's own SSH server, through the same port",
      `ssh -o ProxyCommand="${through}" localhost`,
    );
  }
  command("bob is known, but not in the group payments", `curl ${ca} ${as("bob")} ${to("web")}/`);
  command("somebody else's authority says that this is alice", `curl ${ca} ${as("mallory")} ${to("web")}/`);
  io.out(colour("dim", "Connections, live (Ctrl-C ends the demo):"));
}

export const demo: Command = {
  usage: `Usage: sallyport demo [--port N] [--for DURATION]

Starts a throw-away authority, certificates, a web app, a TCP service and the router on
127.0.0.1, prints commands to paste, and shows every connection live, refused ones with the
reason. --port is 8443 if that is free. --for ends the demo by itself.`,

  async run(args, io) {
    const flags = options(args, { port: { type: "string" }, for: { type: "string" } });
    const endAfter = flags.for === undefined ? null : lifetime(flags.for, "--for", 0, 24 * hourMs);
    const colour = paint(isTerminal(1) && (io.env.NO_COLOR ?? "") === "");
    const runtime = await selectRuntime();
    const folder = mkdtempSync(join(tmpdir(), "sallyport-demo-"));
    try {
      const [webPort, echoPort] = await Promise.all([
        listen(webApp),
        listen(echo),
        certificates(folder),
        selfTest(runtime, files),
      ]);
      const environment = (port: string) => ({
        SALLYPORT_LISTEN: `127.0.0.1:${port}`,
        SALLYPORT_ADMIN_LISTEN: "off",
        SALLYPORT_CERT: join(folder, "server.crt"),
        SALLYPORT_KEY: join(folder, "server.key"),
        SALLYPORT_CLIENT_CA: join(folder, "ca.crt"),
        SALLYPORT_ROUTE_WEB: `http://127.0.0.1:${webPort}?sni=web.localhost&allow=group:payments`,
        SALLYPORT_ROUTE_ECHO: `tcp://127.0.0.1:${echoPort}?sni=echo.localhost`,
        SALLYPORT_ROUTE_SSH: ssh ? "tcp://127.0.0.1:22?sni=ssh.localhost" : "",
      });
      const ssh = await sshIsHere(io.env.PATH);
      const log = createLog({ write: io.err, close: async () => {} }, "text", "warn");
      const live: Parameters<typeof startServer>[3] = (record) => {
        if (record.event === "connection") io.out(liveLine(record, colour));
      };
      const start = (port: string) =>
        startServer(runtime, loadConfig(environment(port), schemes, files), log, live, files);
      // 8443 is the port of the documentation; if it is taken and nobody insisted, any other will do.
      const server = await start(flags.port ?? "8443").catch((error) => {
        if (flags.port !== undefined) throw error;
        return start("0");
      });
      introduce(io, folder, server.address.port, ssh, colour);
      await new Promise<void>((resolve) => {
        onSignals(["SIGTERM", "SIGINT"], resolve);
        if (endAfter !== null) setTimeout(resolve, endAfter);
      });
      await server.close();
      return 0;
    } finally {
      webApp.close();
      echo.close();
      rmSync(folder, { recursive: true, force: true });
    }
  },
};
