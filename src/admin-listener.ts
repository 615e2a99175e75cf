import { type AdminParts, createAdmin, type OpenConnection, type OpenConnections } from "../routes/admin.ts";
import type { LiveConnection } from "./core/live.ts";
import type { Router } from "./core/router.ts";
import { answerWithFetch } from "./http/fetch.ts";
import type { Connection, Runtime } from "./types.ts";

const limits = { idleMs: 60_000, halfCloseMs: 10_000 };

/** Of one process: more would be no list that anybody reads. */
const mostListed = 20_000;

const listed = ({ since, bytesIn, bytesOut, ...live }: LiveConnection): OpenConnection => ({
  ...live,
  since: new Date(since).toISOString(),
  bytes_in: bytesIn,
  bytes_out: bytesOut,
});

/** The connections that are open at a router, as the admin listener tells them. */
export const openAt = (router: Router): OpenConnections => ({
  open: router.open,
  connections: router.newest(mostListed).map(listed),
});

const isLoopback = (address: string): boolean => address === "::1" || address.startsWith("127.");

/** The admin listener's pages, on connections that were accepted; until `done`. */
export function serveAdmin(
  runtime: Runtime,
  parts: AdminParts,
  done: AbortSignal,
): (connection: Connection) => void {
  const app = createAdmin(parts);
  return (connection) => {
    const peer = { isLocal: isLoopback(connection.remote.address) };
    const serving = {
      handle: (exchange: Parameters<typeof answerWithFetch>[0]) =>
        // Health checks name all sorts of hosts, or none.
        answerWithFetch(exchange, `http://admin${exchange.request.target}`, (r) => app.fetch(r, peer)),
    };
    runtime.serveHttp(connection, null, serving, done, limits).catch(() => {});
  };
}
