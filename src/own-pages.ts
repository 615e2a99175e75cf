import { createApp } from "../routes/app.tsx";
import type { StatusParts } from "../routes/status.ts";
import type { App } from "./adapters/app.ts";
import type { Configured } from "./configured.ts";
import type { Assertions } from "./core/assertions.ts";
import { ipOf } from "./core/source.ts";
import { usableRoutes } from "./core/usable-routes.ts";
import { administers } from "./identity/administrators.ts";
import { signInPath, signOutPath } from "./sign-in/paths.ts";
import type { Agents } from "./tunnel/agents.ts";
import { version } from "./version.ts";
import type { Tunnels } from "./websocket/tunnels.ts";

/** What the router's own pages show beside what the configuration says. */
export interface PageParts {
  readonly assertions: Assertions;
  readonly agents: Agents;
  readonly status: StatusParts;
  readonly tunnels: () => Tunnels;
}

/** The router's own pages and API, as one reading of the configuration has them. */
export function ownPages(
  { config: { table, adminAllow }, verifiers, authority }: Configured,
  { assertions, agents, status, tunnels }: PageParts,
): App {
  const own = table.routes.find(({ adapter }) => adapter === "app");
  const app = createApp({
    version,
    assertionKeys: () => assertions.published(Date.now()),
    administers: (identity, source) =>
      administers(adminAllow, identity, ipOf(source), own?.name ?? "", Date.now()),
    agents: () => agents.list(),
    authority,
    status,
    signIn: own === undefined || own.login === null ? null : { signInPath, signOutPath },
  });
  return (request, caller, upgrade) =>
    app.fetch(request, {
      ...caller,
      usableRoutes: async () => {
        const { identity, presented, source } = caller;
        const login = own?.login ?? null;
        const visitor = identity === null || login === null ? null : { identity, login };
        const user = { presented, visitor, source: ipOf(source) };
        const usable = await usableRoutes(table.routes, user, (route) => verifiers.of(route), Date.now());
        return usable.map(({ name, scheme, names, alpn }) => ({
          name,
          scheme,
          sni: names.map(({ text }) => text),
          alpn,
        }));
      },
      openTunnel: (key) => tunnels().open({ ...caller, headers: request.headers, upgrade }, key),
    });
}
