import { parseIp } from "../wire/ip.ts";

/** Where a router can be dialled by others. */
export interface RouterPlace {
  /** `host:port`. */
  readonly address: string;
}

/** Where agents are said to be. A hint and no more: who is a router, and what it has, is asked of it. */
export interface Whereabouts {
  /** Other routers that may have an agent of this name. */
  routersWith(agent: string): readonly RouterPlace[];
  /** Other routers that may have any. */
  routers(): readonly RouterPlace[];
}

/** Host and port of `host:port`, or of `[v6]:port`; `null` where it is neither. */
export function parsePlace(address: string): { readonly host: string; readonly port: number } | null {
  const [, v6, name, digits] =
    /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]{1,253})):(\d{1,5})$/.exec(address) ?? [];
  const [host, port] = [v6 ?? name, Number(digits)];
  if (host === undefined || port < 1 || port > 65_535 || (v6 !== undefined && parseIp(v6) === null))
    return null;
  return { host, port };
}

/** Routers that are always the same: any of them may have any agent. */
export const listedRouters = (all: readonly RouterPlace[]): Whereabouts => ({
  routersWith: () => all,
  routers: () => all,
});

/** What several say of it. */
export const allWhereabouts = (all: readonly Whereabouts[]): Whereabouts => ({
  routersWith: (agent) => all.flatMap((one) => one.routersWith(agent)),
  routers: () => all.flatMap((one) => one.routers()),
});
