import { serversOf, serverText, upstreamTemplate } from "../core/dial.ts";
import type { Traffic } from "../core/live.ts";
import { LruMap } from "../core/lru-map.ts";
import type { ConnectionRecord } from "../core/record.ts";
import type { Route } from "../core/route.ts";
import type { Router } from "../core/router.ts";
import type { Refusal } from "../errors.ts";
import type { AgentInfo } from "../tunnel/agents.ts";
import type { ServerState } from "../upstream/balanced-client.ts";
import { anchorsOf, type ExpiringCertificate } from "./certificates.ts";
import { healthOf, type LastDial } from "./health.ts";
import { type RouteHere, type StatusHere, together } from "./here.ts";
import { RecentRefusals } from "./recent-refusals.ts";
import type { RouteStatus, RouteTotals, Snapshot } from "./snapshot.ts";
import { Throughput } from "./throughput.ts";

/** Samples of five seconds: ten minutes of them. */
export const sampleEveryMs = 5000;
const samples = 120;
const rooms = { newest: 25, refusals: 50 };
/** Servers of one route whose last dial is remembered: clients may choose them by captures. */
const dialsPerRoute = 32;

/** Where the rest of a snapshot comes from. */
export interface StatusSources {
  readonly version: string;
  readonly runtime: string;
  readonly routes: () => readonly Route[];
  readonly router: () => Router;
  readonly agents: () => Promise<readonly AgentInfo[]>;
  readonly servers: (route: Route) => readonly ServerState[];
  readonly serverCertificates: () => readonly ExpiringCertificate[];
  readonly unready: () => string | null;
  /** What the router's other processes know; `null` for one that does not say so. */
  readonly others: () => Promise<readonly (StatusHere | null)[]>;
}

type Totals = { -readonly [K in keyof RouteTotals]: RouteTotals[K] };

const none = (): Totals => ({ served: 0, refused: 0, failed: 0, bytesIn: 0, bytesOut: 0 });

function count(
  totals: Totals,
  outcome: ConnectionRecord["outcome"],
  bytesIn: number,
  bytesOut: number,
): void {
  totals[outcome]++;
  totals.bytesIn += bytesIn;
  totals.bytesOut += bytesOut;
}

const sum = (a: Traffic, b: Traffic): Traffic => ({
  bytesIn: a.bytesIn + b.bytesIn,
  bytesOut: a.bytesOut + b.bytesOut,
});

/** Why the agent that a route goes by can't serve it; `null` where it can, or a capture says which one it is. */
function agentProblem({ upstream }: Route, agents: readonly AgentInfo[]): string | null {
  const via = upstream?.via ?? null;
  if (upstream === null || via === null || via.includes("{")) return null;
  const here = agents.filter(({ name }) => name === via);
  if (here.length === 0) return `no agent ${via} is connected`;
  const { host } = upstream;
  if (host.includes("{") || here.some(({ services }) => services.includes(host))) return null;
  return `agent ${via} publishes no service ${host}`;
}

/** What the router does, for people: collects what there is no other record of, all of it bounded. */
export class Status {
  readonly #sources: StatusSources;
  readonly #started = Date.now();
  readonly #totals = new Map<string, Totals>();
  /** Of connections that are over. */
  readonly #closed = none();
  readonly #dials = new WeakMap<Route, LruMap<string, LastDial>>();
  readonly #refusals = new RecentRefusals(rooms.refusals);
  readonly #throughput = new Throughput(samples);

  constructor(sources: StatusSources) {
    this.#sources = sources;
  }

  /** A connection is over. */
  recorded(record: ConnectionRecord): void {
    const { route, outcome, bytes_in, bytes_out } = record;
    count(this.#closed, outcome, bytes_in, bytes_out);
    if (route !== null) {
      let totals = this.#totals.get(route);
      if (totals === undefined) {
        totals = none();
        this.#totals.set(route, totals);
      }
      count(totals, outcome, bytes_in, bytes_out);
    }
    this.#refusals.take(record);
  }

  /** An upstream was dialled. */
  dialled(route: Route, server: string, ms: number, failure: Refusal | null): void {
    let dials = this.#dials.get(route);
    if (dials === undefined) {
      const servers = 1 + (route.upstream?.others.length ?? 0);
      dials = new LruMap(Math.max(dialsPerRoute, servers));
      this.#dials.set(route, dials);
    }
    dials.set(server, { server, at: Date.now(), ms, failure: failure?.message ?? null });
  }

  /** Due every `sampleEveryMs`. */
  sample(): void {
    const open = [...this.#sources.router().traffic().values()];
    this.#throughput.take([this.#closed, ...open].reduce(sum), performance.now());
  }

  /** What this process knows. */
  here(): StatusHere {
    const router = this.#sources.router();
    const open = router.traffic();
    return {
      started: this.#started,
      unready: this.#sources.unready(),
      open: router.open,
      routes: this.#sources.routes().map((route) => {
        const totals = this.#totals.get(route.name) ?? none();
        return {
          name: route.name,
          open: router.openOn(route.name),
          dials: [...(this.#dials.get(route)?.values() ?? [])],
          states: this.#sources.servers(route),
          ...totals,
          ...sum(totals, open.get(route.name) ?? none()),
        };
      }),
      newest: router.newest(rooms.newest),
      refusals: this.#refusals.list,
      throughput: this.#throughput.samples,
    };
  }

  async snapshot(): Promise<Snapshot> {
    const { version, runtime, serverCertificates } = this.#sources;
    const [found, others] = await Promise.all([this.#sources.agents(), this.#sources.others()]);
    const agents = [...found].sort((a, b) => a.name.localeCompare(b.name) || a.since.localeCompare(b.since));
    const answered = others.filter((one) => one !== null);
    const all = together([this.here(), ...answered], rooms);
    const known = new Map(all.routes.map((route) => [route.name, route]));
    const routes = this.#sources.routes();
    return {
      at: Date.now(),
      started: all.started,
      version,
      runtime,
      workers: others.length === 0 ? null : { of: others.length + 1, shown: answered.length + 1 },
      unready: all.unready,
      open: all.open,
      routes: routes.flatMap((route) => {
        const here = known.get(route.name);
        return here === undefined ? [] : [routeStatus(route, here, agents)];
      }),
      newest: all.newest,
      agents,
      certificates: [...serverCertificates(), ...anchorsOf(routes)].sort((a, b) => a.notAfter - b.notAfter),
      refusals: all.refusals,
      throughput: all.throughput,
    };
  }
}

function routeStatus(route: Route, here: RouteHere, agents: readonly AgentInfo[]): RouteStatus {
  const upstream = upstreamTemplate(route);
  const { dials, states, ...figures } = here;
  const findings = {
    servers: serversOf(route, {}).map((server) => serverText(route, {}, server)),
    captures: upstream.includes("{"),
    dials,
    states,
    agent: agentProblem(route, agents),
  };
  return {
    scheme: route.scheme,
    names: route.names.map(({ text }) => text),
    port: route.port,
    upstream,
    health: route.upstream === null ? null : healthOf(findings),
    ...figures,
  };
}
