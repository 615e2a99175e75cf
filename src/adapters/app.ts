import type { Adapter } from "../core/session.ts";
import { answerWithFetch } from "../http.ts";
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
      handle: (exchange) =>
        answerWithFetch(exchange, "https", (request) => app(request, { identity: session.identity })),
    }),
  refuse,
});
