import { printable } from "../observe/printable.ts";
import { onSignals } from "../runtime/signals.ts";
import { Agent, type AgentLink, type ServiceAddress } from "../tunnel/agent.ts";
import { tunnelName } from "../tunnel/wire.ts";
import { version } from "../version.ts";
import { type Client, openClient } from "./client.ts";
import { clientFlags, clientUsage } from "./client-options.ts";
import { type CliIo, type Command, UsageError } from "./command.ts";
import { options } from "./options.ts";

const servicePrefix = "SALLYPORT_SERVICE_";
const expectedName = "expected a name of small letters, digits and hyphens, such as edge-1";

/** Reads `host:port`. */
function addressOf(text: string, from: string): ServiceAddress {
  const [, v6, name, digits = ""] = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  const host = v6 ?? name;
  if (host === undefined || port < 1 || port > 65_535)
    throw new UsageError(`${from} ${JSON.stringify(text)}: expected host:port, such as 127.0.0.1:22`);
  return { host, port };
}

/** The services to publish, by flag or else by the environment. */
export function servicesOf(
  given: readonly string[] | undefined,
  env: CliIo["env"],
): ReadonlyMap<string, ServiceAddress> {
  const services = new Map<string, ServiceAddress>();
  const add = (name: string, address: string, from: string): void => {
    if (!tunnelName.test(name))
      throw new UsageError(`${from}: ${JSON.stringify(name)} names no service: ${expectedName}`);
    if (services.has(name)) throw new UsageError(`${from}: service ${name} stands there twice`);
    services.set(name, addressOf(address, from));
  };
  for (const text of given ?? []) {
    const equals = text.indexOf("=");
    if (equals < 0)
      throw new UsageError(`--service ${text}: expected NAME=HOST:PORT, such as ssh=127.0.0.1:22`);
    add(text.slice(0, equals), text.slice(equals + 1), "--service");
  }
  if (given !== undefined) return services;
  for (const [variable, value] of Object.entries(env)) {
    if (!variable.startsWith(servicePrefix) || value === undefined || value === "") continue;
    add(variable.slice(servicePrefix.length).toLowerCase().replaceAll("_", "-"), value, variable);
  }
  return services;
}

/** Connections of the agent's: each with the certificate that is good by then, renewed where it is the profile's. */
export function agentLink(
  client: Client,
  say: (line: string) => void,
): AgentLink & { start(): void; stop(): void } {
  const keeper = client.credential(say);
  let shown = "";
  return {
    dial: async () => {
      const { pair } = await keeper.current();
      const connection = await client.link.dial(client.link.host, "sallyport-tunnel", pair);
      shown = pair.certificate;
      return connection;
    },
    isCurrent: async () => (await keeper.current()).pair.certificate === shown,
    start: () => keeper.start(),
    stop: () => keeper.stop(),
  };
}

async function run(args: readonly string[], io: CliIo): Promise<number> {
  const flags = options(args, {
    ...clientFlags,
    name: { type: "string" },
    service: { type: "string", multiple: true },
  });
  const name = flags.name ?? io.env.SALLYPORT_AGENT_NAME ?? "";
  if (!tunnelName.test(name))
    throw new UsageError(
      name === ""
        ? `--name is missing: expected it, or SALLYPORT_AGENT_NAME: ${expectedName}`
        : `${flags.name === undefined ? "SALLYPORT_AGENT_NAME" : "--name"} ${JSON.stringify(name)}: ${expectedName}`,
    );
  const services = servicesOf(flags.service, io.env);
  if (services.size === 0)
    throw new UsageError(
      "--service is missing: expected it, or SALLYPORT_SERVICE_<NAME>, such as ssh=127.0.0.1:22",
    );
  const say = (line: string): void => io.err(`sallyport: ${printable(line)}`);
  const client = await openClient(flags, io.env);
  const link = agentLink(client, say);
  const agent = new Agent(client.runtime, name, version, services, link, {
    connected: () => say(`agent ${name} publishes ${[...services.keys()].join(", ")} at ${client.link.name}`),
    lost: (why, againMs) => say(`no connection to ${client.link.name}: ${why}; again in ${againMs} ms`),
    moving: (why) => say(`a new connection to ${client.link.name}: ${why}`),
    failed: say,
  });
  onSignals(["SIGTERM", "SIGINT", "SIGHUP"], () => agent.stop());
  link.start();
  await agent.run();
  link.stop();
  return 0;
}

export const agent: Command = {
  usage: `Usage: sallyport agent --name NAME --service NAME=HOST:PORT [--service …]

Dials the router and stays connected; routes with via=NAME reach the services through it. Whose
certificate may publish which name is for the router to say (SALLYPORT_TUNNEL_ALLOW). Only what
is named here is ever dialled.

  --name NAME               this agent (SALLYPORT_AGENT_NAME); several may share a name
  --service NAME=HOST:PORT  what it publishes; several times, or SALLYPORT_SERVICE_<NAME>=HOST:PORT
${clientUsage}

SIGTERM or SIGINT takes no new streams and ends with those that are open, after 30 seconds at the
latest; a second one ends at once.`,
  run,
};
