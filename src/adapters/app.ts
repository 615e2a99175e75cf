import type { Arrival } from "../core/arrival.ts";
import type { Adapter, Session } from "../core/session.ts";
import { answerWithFetch, type Upgrade } from "../http/fetch.ts";
import { admitted } from "../http/request.ts";
import type { Identity } from "../identity/identity.ts";
import type { Presented } from "../identity/verifier.ts";
import type { Endpoint } from "../types.ts";

/** Who is calling. */
export interface Caller {
  readonly identity: Identity | null;
  readonly source: Endpoint;
  readonly arrival: Arrival;
  /** The certificates that came with the connection; `null` without any. */
  readonly presented: Presented | null;
}

/** A fetch-style application that is told who is calling. */
export type App = (request: Request, caller: Caller, upgrade: Upgrade) => Response | Promise<Response>;

function callerOf({ identity, source, tls, arrival }: Session): Caller {
  const leaf = identity === null ? null : (tls?.peerLeaf() ?? null);
  const presented = leaf === null ? null : { leaf, chain: () => tls?.peerChain() ?? [] };
  return { identity, source, arrival, presented };
}

/** The router's own pages, on the same port and behind the same handshake as everything else. */
export const appAdapter = (app: App, refuse: NonNullable<Adapter["refuse"]>): Adapter => ({
  name: "app",
  handle: (session) =>
    session.serveHttp({
      handle: (exchange) => {
        const asked = admitted(exchange.request, session.serverName);
        if ("status" in asked) return exchange.respond(asked);
        // Put together, not resolved: `//other/path` is a path here.
        const url = `https://${asked.authority}${asked.target}`;
        return answerWithFetch(exchange, url, (request, upgrade) => app(request, callerOf(session), upgrade));
      },
    }),
  refuse,
});
