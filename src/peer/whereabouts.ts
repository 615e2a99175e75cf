/** Where a router can be dialled by others. */
export interface RouterAddress {
  readonly host: string;
  readonly port: number;
}

/** Where agents are said to be. A hint and no more: who is a router, and what it has, is asked of it. */
export interface Whereabouts {
  /** Other routers that may have an agent of this name. */
  routersWith(agent: string): readonly RouterAddress[];
  /** Other routers that may have any. */
  routers(): readonly RouterAddress[];
}

export const addressText = ({ host, port }: RouterAddress): string =>
  `${host.includes(":") ? `[${host}]` : host}:${port}`;

/** Routers that are always the same: any of them may have any agent. */
export function listedRouters(listed: readonly RouterAddress[], own: RouterAddress | null): Whereabouts {
  const all = listed.filter((one) => own === null || addressText(one) !== addressText(own));
  return { routersWith: () => all, routers: () => all };
}
