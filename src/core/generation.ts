import type { Arrival } from "./arrival.ts";
import type { OpeningHere, Openings } from "./hello.ts";
import { RouteTable } from "./match.ts";
import type { Route } from "./route.ts";
import type { RouterParts } from "./router-parts.ts";

/** What connections are taken by, from one reading of the configuration to the next. */
export class Generation {
  readonly parts: RouterParts;
  /** Connections that came under it and are open. */
  open = 0;
  readonly #routes: ReadonlySet<Route>;
  readonly #tables = new Map<string, RouteTable>();
  /** Those of one adapter alone; under `null`, those that may begin on the one port. */
  readonly #openings = new Map<string | null, Openings>();

  constructor(parts: RouterParts) {
    this.parts = parts;
    const { routes } = parts.table;
    this.#routes = new Set(routes);
    const told: OpeningHere[] = [];
    for (const adapter of parts.adapters.values()) {
      const served = routes.filter((route) => route.adapter === adapter.name);
      this.#tables.set(adapter.name, new RouteTable(served));
      const { opening } = adapter;
      const here = opening !== undefined && served.length > 0 ? [{ adapter, opening }] : [];
      this.#openings.set(adapter.name, openingsOf(here));
      told.push(...here.filter(({ opening: { begins } }) => begins !== null));
    }
    this.#openings.set(null, openingsOf(told));
  }

  /** Whether the route is one of these, as it stands. */
  has(route: Route): boolean {
    return this.#routes.has(route);
  }

  /** The routes of one adapter alone; `null`: of all. */
  tableOf(adapter: string | null): RouteTable {
    if (adapter === null) return this.parts.table;
    const table = this.#tables.get(adapter);
    if (table === undefined) throw new TypeError(`no adapter ${adapter}`);
    return table;
  }

  /** The protocols that may begin in the clear where this connection came in. */
  openingsAt({ own, only }: Arrival): Openings {
    return this.#openings.get(only ?? own?.adapter ?? null) ?? none;
  }
}

const none: Openings = { serverFirst: null, others: [] };

const openingsOf = (here: readonly OpeningHere[]): Openings => ({
  serverFirst: here.find(({ opening }) => opening.begins === null) ?? null,
  others: here,
});
