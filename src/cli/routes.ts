import { openClient } from "./client.ts";
import { clientFlags, clientUsage } from "./client-options.ts";
import type { Command } from "./command.ts";
import { askRoutes } from "./listed-routes.ts";
import { options } from "./options.ts";
import { printable } from "./printable.ts";

export const routes: Command = {
  name: "routes",
  summary: "list the routes you may use",
  usage: `Usage: sallyport routes [--json]

Lists the routes that admit your certificate, with their names for "proxy" and "connect".

${clientUsage}`,

  async run(args, io) {
    const flags = options(args, { ...clientFlags, json: { type: "boolean" } });
    const client = await openClient(flags, io.env);
    const { pair } = await client.credential(io.err).current();
    const api = client.api(pair);
    try {
      const listed = await askRoutes(api);
      if (flags.json === true) io.out(JSON.stringify(listed));
      else {
        const rows = listed.map(({ name, scheme, sni }) => [name, scheme, sni.join(" ")]);
        const width = (column: number): number => Math.max(0, ...rows.map((row) => row[column]?.length ?? 0));
        for (const [name = "", scheme = "", sni = ""] of rows)
          io.out(printable(`${name.padEnd(width(0))}  ${scheme.padEnd(width(1))}  ${sni}`));
      }
      return 0;
    } finally {
      api.close();
    }
  },
};
