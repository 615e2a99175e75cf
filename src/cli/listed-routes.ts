import { z } from "zod";
import { parseNamePattern } from "../config/names.ts";
import type { NamePattern } from "../core/route.ts";
import { normaliseServerName } from "../wire/server-name.ts";
import type { RouterApi } from "./router-api.ts";

const routesAnswer = z.object({
  routes: z.array(
    z.object({
      name: z.string(),
      scheme: z.string(),
      sni: z.array(z.string()),
      alpn: z.array(z.string()).nullable(),
    }),
  ),
  /** For those alone who may see them. */
  agents: z
    .array(
      z.object({
        name: z.string(),
        services: z.array(z.string()),
        version: z.string(),
        address: z.string(),
        subject: z.string(),
        since: z.string(),
        streams: z.number(),
        bytes_in: z.number(),
        bytes_out: z.number(),
        /** Where it is connected, if that is another one than was asked. */
        router: z.string().optional(),
      }),
    )
    .optional(),
});

/** A route as the router lists it for us. */
export type ListedRoute = z.infer<typeof routesAnswer>["routes"][number];

/** An agent that is connected, as the router lists it for us. */
export type ListedAgent = NonNullable<z.infer<typeof routesAnswer>["agents"]>[number];

/** What the router lists; `agents` only where it lets us see them. */
export const askListing = (api: RouterApi): Promise<z.infer<typeof routesAnswer>> =>
  api.ask("GET", "/v1/routes", routesAnswer);

export const askRoutes = async (api: RouterApi): Promise<readonly ListedRoute[]> =>
  (await askListing(api)).routes;

const patternsOf = ({ sni }: ListedRoute): NamePattern[] =>
  sni.map(parseNamePattern).filter((pattern): pattern is NamePattern => !("problem" in pattern));

/** The names that stand for themselves. */
export const exactNames = (route: ListedRoute): string[] =>
  patternsOf(route)
    .filter(({ variables }) => variables.length === 0)
    .map(({ text }) => text);

/** The routes that serve a host name, by the router's own rule: only those whose name for it is the most specific. */
export function serving(routes: readonly ListedRoute[], host: string): ListedRoute[] {
  const labels = normaliseServerName(host)?.split(".") ?? [];
  const found = routes.flatMap((route) =>
    patternsOf(route)
      .filter(
        ({ variables, suffix }) =>
          labels.length > variables.length && labels.slice(variables.length).join(".") === suffix,
      )
      .map(({ variables }) => ({ route, depth: variables.length })),
  );
  const least = Math.min(...found.map(({ depth }) => depth));
  return found.filter(({ depth }) => depth === least).map(({ route }) => route);
}
