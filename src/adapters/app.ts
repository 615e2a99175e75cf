import type { Arrival } from "../core/arrival.ts";
import type { Visitor } from "../core/gate.ts";
import type { Adapter, Session } from "../core/session.ts";
import type { HttpExchange } from "../http/exchange.ts";
import { answerWithFetch, type Upgrade } from "../http/fetch.ts";
import { upgradeAsked } from "../http/hop-by-hop.ts";
import { admitted } from "../http/request.ts";
import type { Identity } from "../identity/identity.ts";
import type { Presented } from "../identity/verifier.ts";
import type { Endpoint } from "../types.ts";
import { holdFor } from "./held.ts";

/** Who is calling. */
export interface Caller {
  /** By their certificate; without one, who signed in with their browser. */
  readonly identity: Identity | null;
  readonly source: Endpoint;
  readonly arrival: Arrival;
  /** The certificates that came with the connection; `null` without any. */
  readonly presented: Presented | null;
}

/** A fetch-style application that is told who is calling. */
export type App = (request: Request, caller: Caller, upgrade: Upgrade) => Response | Promise<Response>;

function callerOf({ identity, source, tls, arrival }: Session, visitor: Visitor | null): Caller {
  const leaf = identity === null ? null : (tls?.peerLeaf() ?? null);
  const presented = leaf === null ? null : { leaf, chain: () => tls?.peerChain() ?? [] };
  return { identity: identity ?? visitor?.identity ?? null, source, arrival, presented };
}

/** An answer that ends where whom it is for may no longer have it. */
const whileHeld = (exchange: HttpExchange, signal: AbortSignal): HttpExchange => ({
  request: exchange.request,
  signal,
  respond: (response) => exchange.respond(response),
  upgrade: (fields) => exchange.upgrade(fields),
});

/** The router's own pages, on the same port and behind the same handshake as everything else. */
export const appAdapter = (app: App, refuse: NonNullable<Adapter["refuse"]>): Adapter => ({
  name: "app",
  handle: (session) =>
    session.serveHttp({
      handle: async (exchange) => {
        const { request } = exchange;
        const asked = admitted(request, session.serverName);
        if ("status" in asked) return exchange.respond(asked);
        const switches = request.protocol !== undefined || upgradeAsked(request.fields) !== null;
        const judged = (await session.gate?.judge(request, asked, switches)) ?? { visitor: null };
        if ("answer" in judged) return exchange.respond(judged.answer);
        const { visitor } = judged;
        const caller = callerOf(session, visitor);
        // Put together, not resolved: `//other/path` is a path here.
        const url = `https://${asked.authority}${asked.target}`;
        const held = visitor === null ? null : holdFor(visitor, exchange.signal, session);
        const watched = held === null ? exchange : whileHeld(exchange, held.signal);
        try {
          await answerWithFetch(watched, url, (fetched, upgrade) => app(fetched, caller, upgrade));
        } finally {
          held?.release();
        }
      },
    }),
  refuse,
});
