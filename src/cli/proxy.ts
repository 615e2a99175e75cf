import { spell } from "../local/credential.ts";
import type { ProxyEvents } from "../local/proxy.ts";
import { printable } from "../observe/printable.ts";
import { isTerminal } from "../runtime/files.ts";
import { onSignals } from "../runtime/signals.ts";
import { clearSocket, ownSocket, removeSocket } from "../runtime/unix-socket.ts";
import type { ListenAddress } from "../types.ts";
import { normaliseServerName } from "../wire/server-name.ts";
import { openClient } from "./client.ts";
import { clientFlags, clientUsage } from "./client-options.ts";
import { type CliIo, type Command, UsageError } from "./command.ts";
import { writeKubeconfig } from "./config/local-kubeconfig.ts";
import { askRoutes, type ListedRoute } from "./listed-routes.ts";
import { startLocalProxy } from "./local-proxy.ts";
import { optionsAnd, portFlag } from "./options.ts";
import { proxySsh } from "./proxy-ssh.ts";
import { isHostName, type Kind, kinds, targetOf } from "./route-target.ts";

const flagsOfProxy = {
  ...clientFlags,
  port: { type: "string" },
  unix: { type: "string" },
  alpn: { type: "string" },
  protocol: { type: "string" },
  json: { type: "boolean" },
} as const;

const databases = ["postgres", "mysql", "redis", "mongodb"];

/** One line that is written over, on a terminal; nothing elsewhere. */
function progress(): { show(line: string): void; clear(): void } {
  const shown = isTerminal(2);
  return {
    show: (line) => void (shown && process.stderr.write(`\r\u001b[K${line}`)),
    clear: () => void (shown && process.stderr.write("\r\u001b[K")),
  };
}

/** How a client is told the address. */
function hint(kind: Kind, scheme: string, at: ListenAddress): string | null {
  if ("path" in at)
    return scheme === "redis" || scheme === "rediss"
      ? `redis-cli -s ${at.path}`
      : scheme === "mysql"
        ? `mysql --socket=${at.path}`
        : null;
  const { port } = at;
  if (kind === "app") return `http://localhost:${port}/`;
  const hints: Readonly<Record<string, string>> = {
    postgres: `psql -h 127.0.0.1 -p ${port}`,
    mysql: `mysql --protocol=tcp -h 127.0.0.1 -P ${port}`,
    redis: `redis-cli -p ${port}`,
    rediss: `redis-cli -p ${port}`,
    mongodb: `mongosh mongodb://127.0.0.1:${port}/`,
  };
  return kind === "db" ? (hints[scheme] ?? null) : null;
}

async function run(args: readonly string[], io: CliIo): Promise<number> {
  const { values: flags, positionals } = optionsAnd(args, flagsOfProxy, ["KIND", "ROUTE"]);
  const [kindText, route = ""] = positionals;
  const kind = kinds.find((one) => one === kindText);
  if (kind === undefined) throw new UsageError(`${kindText}: expected ${kinds.join(", ")} or ssh`);
  if (flags.unix !== undefined && flags.port !== undefined)
    throw new UsageError("--port and --unix: expected one of them");
  if (flags.unix !== undefined && (kind === "app" || kind === "kube"))
    throw new UsageError("--unix is for tcp and db: programs ask HTTP by port");
  if (flags.protocol !== undefined && (kind !== "db" || !databases.includes(flags.protocol)))
    throw new UsageError(`--protocol ${flags.protocol}: expected ${databases.join(", ")}, and db`);
  const client = await openClient(flags, io.env);
  const line = progress();
  const say = (text: string): void => {
    line.clear();
    io.err(`sallyport: ${printable(text)}`);
  };
  const keeper = client.credential(say);
  const credential = await keeper.current();
  const api = client.api(credential.pair);
  let listed: readonly ListedRoute[] = [];
  try {
    listed = await askRoutes(api);
  } catch (error) {
    // A host name does without.
    if (!isHostName(route) || (flags.alpn === undefined && kind === "db" && flags.protocol === undefined))
      throw error;
  } finally {
    api.close();
  }
  // The router's own pages, which no route lists.
  const own = kind === "app" && normaliseServerName(route) === normaliseServerName(client.link.host);
  const alpn = flags.alpn ?? (own ? "sallyport-auth" : undefined);
  const target = targetOf(route, kind, listed, { alpn, protocol: flags.protocol });

  let served = 0;
  let open = 0;
  const events: ProxyEvents = {
    count: (now) => {
      if (now > open) served++;
      open = now;
      line.show(`${open} open, ${served} so far`);
    },
    failed: say,
  };
  // Before anybody hears of us, and may want us to stop.
  const told = new Promise<void>((resolve) => onSignals(["SIGTERM", "SIGINT", "SIGHUP"], resolve));
  if (flags.unix !== undefined) await clearSocket(flags.unix);
  const at =
    flags.unix === undefined
      ? { host: "127.0.0.1", port: portFlag(flags.port, "--port") }
      : { path: flags.unix };
  const proxy = await startLocalProxy(client, keeper, io.env, kind, target, at, events);
  if (flags.unix !== undefined) ownSocket(flags.unix);
  keeper.start();
  const listening = "path" in at ? at : { host: "127.0.0.1", port: proxy.address.port };
  const where = "path" in listening ? listening.path : `127.0.0.1:${listening.port}`;
  const kubeconfig =
    kind === "kube" && "port" in listening
      ? writeKubeconfig(io.env, target.name, `http://127.0.0.1:${listening.port}`)
      : null;
  if (flags.json === true) {
    io.out(
      JSON.stringify({
        route: target.name,
        scheme: target.scheme,
        address: "path" in listening ? null : "127.0.0.1",
        port: "path" in listening ? null : listening.port,
        unix: "path" in listening ? listening.path : null,
        kubeconfig,
        identity: credential.subject,
        expires: new Date(credential.notAfter).toISOString(),
      }),
    );
  } else {
    const until = spell(credential.notAfter - Date.now());
    io.err(
      printable(
        `${target.name} (${target.scheme}) on ${where}, as ${credential.subject} for another ${until}`,
      ),
    );
    const how =
      kubeconfig === null ? hint(kind, target.scheme, listening) : `KUBECONFIG=${kubeconfig} kubectl …`;
    if (how !== null) io.err(`  ${printable(how)}`);
  }
  await told;
  line.clear();
  keeper.stop();
  await proxy.close();
  if (flags.unix !== undefined) removeSocket(flags.unix);
  return 0;
}

export const proxy: Command = {
  usage: `Usage: sallyport proxy tcp|db|app|kube ROUTE [--port N | --unix PATH]
       sallyport proxy ssh HOST[:PORT]

Listens on this machine's loopback and carries each connection to ROUTE, with its name, its
protocol and your certificate, which is renewed in time. ROUTE is one of "sallyport routes",
or a host name.

  tcp    bytes as they are
  db     Postgres, MySQL, Redis or MongoDB: clients may ask for TLS here too, and hear in their
         own protocol what goes wrong
  app    a web app, as http://localhost:PORT/
  kube   a Kubernetes API, with a kubeconfig for it
  ssh    one connection on standard input and output, for OpenSSH's ProxyCommand

  --port N          the port to listen on; any that is free unless given
  --unix PATH       a Unix socket instead, your own (tcp, db)
  --protocol NAME   what the database speaks, where no route says: ${databases.join(", ")}
  --alpn ID         the protocol id to ask for, instead of the route's own
  --json            one line on standard output says where it listens
${clientUsage}`,

  run: (args, io) => (args[0] === "ssh" ? proxySsh(args.slice(1), io) : run(args, io)),
};
