import { partsOf } from "../routes/status/parts.tsx";
import type { StatusParts } from "../routes/status.ts";
import type { Config } from "./config/load.ts";
import type { ConnectionRecord } from "./core/record.ts";
import type { Router } from "./core/router.ts";
import type { RouterParts } from "./core/router-parts.ts";
import type { Log } from "./observe/log.ts";
import type { StatusHere } from "./status/here.ts";
import { Status, sampleEveryMs } from "./status/status.ts";
import { Watchers } from "./status/watchers.ts";
import type { Agents } from "./tunnel/agents.ts";
import type { HttpUpstreams } from "./upstream/http-upstreams.ts";
import { version } from "./version.ts";

const caps = { watchers: 32, perIdentity: 8 };

interface StatusPageOptions {
  readonly config: () => Config;
  /** Such as `node 20.20.2`. */
  readonly runtime: string;
  readonly agents: Agents;
  readonly httpUpstreams: HttpUpstreams;
  readonly router: () => Router;
  readonly unready: () => string | null;
  /** What the router's other processes know; `null` for one that does not say so. */
  readonly others: () => Promise<readonly (StatusHere | null)[]>;
  readonly log: Log;
}

/** The status page, put together: what it is told, and what it shows. */
export interface OpenStatusPage extends StatusParts {
  /** A connection is over. */
  readonly recorded: (record: ConnectionRecord) => void;
  readonly dialled: RouterParts["dialled"];
  /** What this process knows. */
  readonly here: () => StatusHere;
  /** Keeps a history from now on. */
  start(): void;
  /** Ends the pages that are open, and keeps no history any more. */
  close(): void;
}

export function openStatusPage(options: StatusPageOptions): OpenStatusPage {
  const { config, runtime, agents, httpUpstreams, router, unready, others, log } = options;
  const status = new Status({
    version,
    runtime,
    routes: () => config().table.routes,
    router,
    agents: () => agents.list(),
    servers: (route) => httpUpstreams.states(route),
    serverCertificates: () =>
      config().certificates.all.map(({ name, names, notAfter }) => ({
        use: "server",
        name,
        names,
        notAfter: notAfter.getTime(),
      })),
    unready,
    others,
  });
  const show = async (): Promise<ReadonlyMap<string, string>> =>
    new Map(partsOf(await status.snapshot()).map(({ id, inside }) => [id, inside]));
  const watchers = new Watchers(caps, show, log);
  let sampling: ReturnType<typeof setInterval> | undefined;
  return {
    recorded: (record) => status.recorded(record),
    here: () => status.here(),
    snapshot: () => status.snapshot(),
    watch: (who, expires) => watchers.open(who, expires),
    dialled: (route, server, ms, failure) => status.dialled(route, server, ms, failure),
    start: () => {
      sampling = setInterval(() => status.sample(), sampleEveryMs);
    },
    close: () => {
      clearInterval(sampling);
      watchers.close();
    },
  };
}
