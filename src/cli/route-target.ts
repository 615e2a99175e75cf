import { didYouMean } from "../config/suggest.ts";
import { printable } from "../observe/printable.ts";
import { normaliseServerName } from "../wire/server-name.ts";
import { UsageError } from "./command.ts";
import { exactNames, type ListedRoute, serving } from "./listed-routes.ts";

/** What a local client speaks. */
export const kinds = ["tcp", "db", "app", "kube"] as const;
export type Kind = (typeof kinds)[number];

const schemesOf: Readonly<Record<Kind, readonly string[] | null>> = {
  tcp: null,
  db: ["postgres", "mysql", "redis", "rediss", "mongodb"],
  app: ["http", "https", "h2c"],
  kube: ["kubernetes"],
};

/** Where a local proxy's connections go. */
export interface RouteTarget {
  /** For people: the route's name, or the host. */
  readonly name: string;
  readonly scheme: string;
  readonly serverName: string;
  readonly alpn: string;
}

/** What may be said of a target beside its name. */
export interface TargetFlags {
  /** Instead of the route's own. */
  readonly alpn: string | undefined;
  /** What the database speaks. */
  readonly protocol: string | undefined;
}

const fits = (kind: Kind, { scheme }: ListedRoute): boolean => schemesOf[kind]?.includes(scheme) ?? true;

/** What nothing else serves at the router comes first: whoever answers to that is the router. */
function alpnOf(route: ListedRoute): string {
  const ids = route.alpn ?? [];
  const id = ids.find((one) => one.startsWith("sallyport-")) ?? ids.find((one) => one !== "h2");
  if (id !== undefined) return id;
  throw new UsageError(
    route.scheme === "tls"
      ? `TLS passes through route ${route.name} untouched: its own clients reach it without a local proxy`
      : `route ${route.name} serves ${ids.join(", ")} only: expected --alpn`,
  );
}

/** A host name has a dot; a route's name never does. */
export const isHostName = (route: string): boolean => route.includes(".") || route === "localhost";

const defaults: Readonly<Record<Kind, readonly [scheme: string, alpn: string] | null>> = {
  tcp: ["tcp", "sallyport-tcp"],
  db: null,
  app: ["http", "sallyport-http"],
  kube: ["kubernetes", "sallyport-kubernetes"],
};

function byHost(text: string, kind: Kind, routes: readonly ListedRoute[], flags: TargetFlags): RouteTarget {
  const host = normaliseServerName(text);
  if (host === null)
    throw new UsageError(`${text}: expected a route's name, or a host name such as orders.example.com`);
  const found = serving(routes, host);
  const route = found.find((one) => fits(kind, one));
  if (route !== undefined) {
    const alpn = flags.alpn ?? alpnOf(route);
    return { name: host, scheme: flags.protocol ?? route.scheme, serverName: host, alpn };
  }
  const other = found[0];
  if (other !== undefined && flags.alpn === undefined)
    throw new UsageError(`${host} is served by ${other.name}, a ${other.scheme} route${instead(other)}`);
  // Not among what is listed: the router decides.
  const [scheme, alpn] = defaults[kind] ?? [flags.protocol, `sallyport-${flags.protocol}`];
  if (scheme === undefined)
    throw new UsageError(`--protocol is missing: no route that is listed for you serves ${host}`);
  return { name: host, scheme: flags.protocol ?? scheme, serverName: host, alpn: flags.alpn ?? alpn };
}

const instead = ({ scheme, name }: ListedRoute): string => {
  const kind = (["db", "app", "kube"] as const).find((one) => schemesOf[one]?.includes(scheme));
  if (scheme === "ssh") return ": try sallyport proxy ssh, or sallyport connect";
  return kind === undefined ? ": try sallyport proxy tcp" : `: try sallyport proxy ${kind} ${name}`;
};

/** What a ROUTE argument means. Throws a `UsageError` with what there is instead. */
export function targetOf(
  text: string,
  kind: Kind,
  routes: readonly ListedRoute[],
  flags: TargetFlags,
): RouteTarget {
  if (isHostName(text)) return byHost(text, kind, routes, flags);
  const route = routes.find(({ name }) => name === text);
  if (route === undefined) {
    const names = routes.map(({ name }) => name);
    const there = names.length === 0 ? "there is none for you" : `there are ${printable(names.join(", "))}`;
    throw new UsageError(`no route ${text}: ${there}${didYouMean(text, names)}`);
  }
  if (!fits(kind, route)) throw new UsageError(`route ${text} is a ${route.scheme} route${instead(route)}`);
  const [serverName] = exactNames(route);
  if (serverName === undefined)
    throw new UsageError(`route ${text} serves ${route.sni.join(", ")}: expected one of its hosts`);
  const alpn = flags.alpn ?? alpnOf(route);
  return { name: text, scheme: flags.protocol ?? route.scheme, serverName, alpn };
}
