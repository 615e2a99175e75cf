import { rmSync } from "node:fs";
import { printable } from "../observe/printable.ts";
import { runClient } from "../runtime/run-client.ts";
import { openClient } from "./client.ts";
import { clientFlags, clientUsage } from "./client-options.ts";
import { type CliIo, type Command, UsageError } from "./command.ts";
import { commandAgain } from "./config/again.ts";
import { writeKubeconfig } from "./config/local-kubeconfig.ts";
import { forProxyCommand } from "./config/ssh.ts";
import { askRoutes } from "./listed-routes.ts";
import { startLocalProxy } from "./local-proxy.ts";
import { optionsAnd } from "./options.ts";
import { type Kind, type RouteTarget, targetOf } from "./route-target.ts";

/** A native client, to be pointed at a local port. */
interface NativeClient {
  readonly kind: Kind;
  readonly command: string;
  args(port: number): readonly string[];
  /** What is `undefined` is taken out. */
  env(port: number): Readonly<Record<string, string | undefined>>;
  /** Arguments of the user that the client takes in front of all others only. */
  readonly leads?: RegExp;
}

const redis: NativeClient = {
  kind: "db",
  command: "redis-cli",
  args: (port) => ["-h", "127.0.0.1", "-p", String(port)],
  env: () => ({}),
};

const clients: Readonly<Record<string, NativeClient>> = {
  postgres: {
    kind: "db",
    command: "psql",
    args: () => [],
    // Not as arguments: what the user says there comes first. Encryption on the loopback is for nobody.
    env: (port) => ({
      PGHOST: "127.0.0.1",
      PGPORT: String(port),
      PGSSLMODE: "disable",
      PGGSSENCMODE: "disable",
      // Each of these would lead past us, or forbids a connection in the clear.
      PGHOSTADDR: undefined,
      PGSERVICE: undefined,
      PGSSLNEGOTIATION: undefined,
      PGSSLROOTCERT: undefined,
      PGREQUIRESSL: undefined,
    }),
  },
  mysql: {
    kind: "db",
    command: "mysql",
    args: (port) => ["--protocol=tcp", "--host=127.0.0.1", `--port=${port}`],
    env: () => ({}),
    leads: /^--(no-defaults|defaults-(file|extra-file|group-suffix)=.*|login-path=.*|print-defaults)$/,
  },
  redis,
  rediss: redis,
  mongodb: {
    kind: "db",
    command: "mongosh",
    args: (port) => [`mongodb://127.0.0.1:${port}/?directConnection=true`],
    env: () => ({}),
  },
};

const flagsOfConnect = { ...clientFlags, alpn: { type: "string" }, protocol: { type: "string" } } as const;

async function run(all: readonly string[], io: CliIo): Promise<number> {
  const split = all.indexOf("--");
  const args = split < 0 ? all : all.slice(0, split);
  const clientArgs = split < 0 ? [] : all.slice(split + 1);
  const { values: flags, positionals } = optionsAnd(args, flagsOfConnect, ["ROUTE"]);
  const [route = ""] = positionals;
  const client = await openClient(flags, io.env);
  const say = (line: string): void => io.err(`sallyport: ${printable(line)}`);
  const keeper = client.credential(say);
  const { pair } = await keeper.current();
  const api = client.api(pair);
  const listed = await askRoutes(api).finally(() => api.close());
  const target = targetOf(route, "tcp", listed, { alpn: flags.alpn, protocol: flags.protocol });

  if (target.scheme === "ssh") {
    const proxy = forProxyCommand(commandAgain(["proxy", "ssh"], flags, io.env));
    return runClient(
      "ssh",
      ["-o", `ProxyCommand=${proxy} -- %h:%p`, target.serverName, ...clientArgs],
      io.env,
    );
  }
  const native: NativeClient | undefined =
    target.scheme === "kubernetes" ? kubectl(target, io) : clients[target.scheme];
  if (native === undefined)
    throw new UsageError(`there is no client for a ${target.scheme} route: try sallyport proxy`);
  const at = { host: "127.0.0.1", port: 0 };
  const events = { count: () => {}, failed: say };
  const proxy = await startLocalProxy(client, keeper, io.env, native.kind, target, at, events);
  keeper.start();
  try {
    const { port } = proxy.address;
    const env = { ...io.env, ...native.env(port) };
    const rest = clientArgs.findIndex((arg) => native.leads?.test(arg) !== true);
    const lead = rest < 0 ? clientArgs.length : rest;
    const given = [...clientArgs.slice(0, lead), ...native.args(port), ...clientArgs.slice(lead)];
    return await runClient(native.command, given, env);
  } finally {
    keeper.stop();
    await proxy.close();
  }
}

/** kubectl with a kubeconfig of its own. */
function kubectl(target: RouteTarget, io: CliIo): NativeClient {
  return {
    kind: "kube",
    command: "kubectl",
    args: () => [],
    env: (port) => {
      const path = writeKubeconfig(io.env, `${target.name}-${port}`, `http://127.0.0.1:${port}`);
      process.once("exit", () => rmSync(path, { force: true }));
      return { KUBECONFIG: path };
    },
  };
}

export const connect: Command = {
  usage: `Usage: sallyport connect ROUTE [-- ARGUMENTS OF THE CLIENT]

Starts the native client of the route's protocol on a local proxy of its own, on this terminal,
and ends with its exit status.

  sallyport connect orders -- -U alice orders
  sallyport connect node1.ssh.example.com -- uptime

  --protocol NAME   what the database speaks, where no route says
  --alpn ID         the protocol id to ask for, instead of the route's own
${clientUsage}`,
  run,
};
