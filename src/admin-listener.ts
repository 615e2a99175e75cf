import { type AdminParts, createAdmin } from "../routes/admin.ts";
import { answerWithFetch } from "./http/fetch.ts";
import type { Connection, Runtime } from "./types.ts";

const limits = { idleMs: 60_000, halfCloseMs: 10_000 };

/** The admin listener's pages, on connections that were accepted; until `done`. */
export function serveAdmin(
  runtime: Runtime,
  parts: AdminParts,
  done: AbortSignal,
): (connection: Connection) => void {
  const app = createAdmin(parts);
  const serving = {
    handle: (exchange: Parameters<typeof answerWithFetch>[0]) =>
      // Health checks name all sorts of hosts, or none.
      answerWithFetch(exchange, `http://admin${exchange.request.target}`, (r) => app.fetch(r)),
  };
  return (connection) => {
    runtime.serveHttp(connection, null, serving, done, limits).catch(() => {});
  };
}
