import { printable } from "../observe/printable.ts";
import { openClient } from "./client.ts";
import { clientFlags, clientUsage } from "./client-options.ts";
import type { Command } from "./command.ts";
import { askListing, type ListedAgent, type ListedRoute } from "./listed-routes.ts";
import { options } from "./options.ts";

/** Columns as wide as their widest cell. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

const routeRow = ({ name, scheme, sni }: ListedRoute): string[] =>
  [name, scheme, sni.join(" ")].map(printable);

const agentHead = ["AGENT", "SERVICES", "VERSION", "FROM", "CERTIFICATE", "SINCE", "STREAMS", "IN", "OUT"];

const agentRow = (agent: ListedAgent): string[] =>
  [
    agent.name,
    agent.services.join(" "),
    agent.version,
    agent.router === undefined ? agent.address : `${agent.address} at ${agent.router}`,
    agent.subject,
    agent.since,
    String(agent.streams),
    String(agent.bytes_in),
    String(agent.bytes_out),
  ].map(printable);

export const routes: Command = {
  usage: `Usage: sallyport routes [--json]

Lists the routes that admit your certificate, with their names for "proxy" and "connect". Those whom the router's
SALLYPORT_ADMIN_ALLOW admits also see the agents that are connected; bytes are from the agent and to it.

  --json   an array of routes; with agents an object, {"routes": [...], "agents": [...]}

${clientUsage}`,

  async run(args, io) {
    const flags = options(args, { ...clientFlags, json: { type: "boolean" } });
    const client = await openClient(flags, io.env);
    const { pair } = await client.credential(io.err).current();
    const api = client.api(pair);
    try {
      const { routes: listed, agents } = await askListing(api);
      if (flags.json === true) {
        io.out(JSON.stringify(agents === undefined ? listed : { routes: listed, agents }));
        return 0;
      }
      for (const line of columns(listed.map(routeRow))) io.out(line);
      if (agents === undefined) return 0;
      if (listed.length > 0) io.out("");
      if (agents.length === 0) io.out("no agent is connected");
      else for (const line of columns([agentHead, ...agents.map(agentRow)])) io.out(line);
      return 0;
    } finally {
      api.close();
    }
  },
};
