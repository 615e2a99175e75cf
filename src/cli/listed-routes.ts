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
});

/** A route as the router lists it for us. */
export type ListedRoute = z.infer<typeof routesAnswer>["routes"][number];

export const askRoutes = async (api: RouterApi): Promise<readonly ListedRoute[]> =>
  (await api.ask("GET", "/v1/routes", routesAnswer)).routes;

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
