import type { Adapter } from "../core/session.ts";
import { answerWithFetch } from "../http/fetch.ts";
import { admitted } from "../http/request.ts";
import type { Identity } from "../identity/identity.ts";

/** A fetch-style application that is told who is calling. */
export type App = (
  request: Request,
  caller: { readonly identity: Identity | null },
) => Response | Promise<Response>;

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
        return answerWithFetch(exchange, url, (request) => app(request, { identity: session.identity }));
      },
    }),
  refuse,
});
