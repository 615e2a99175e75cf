import type { Hono } from "hono";
import type { ConnectBindings } from "../../routes/connect.ts";
import type { AdmissionControl, Place } from "../core/admission.ts";
import type { Cancellation } from "../http/exchange.ts";
import { answerWithFetch } from "../http/fetch.ts";
import type { Connection, Runtime } from "../types.ts";
import type { Tunnels } from "./tunnels.ts";

interface Parts {
  readonly runtime: Runtime;
  readonly admission: AdmissionControl;
  readonly tunnels: Tunnels;
  readonly app: Hono<{ Bindings: ConnectBindings }>;
  readonly idleMs: number;
  readonly draining: Cancellation;
}

/** Connection upgrades over plain HTTP, from balancers that end TLS. What is inside them is TLS to us all the same. */
export async function servePlainFront(connection: Connection, listener: string, parts: Parts): Promise<void> {
  const { runtime, admission, tunnels, app, idleMs, draining } = parts;
  const arrival = { own: null, only: null, listener, tunnelled: false };
  const source = connection.remote;
  let place: Place;
  try {
    place = await admission.enter(() => connection.abort());
  } catch {
    connection.abort();
    return;
  }
  const serving = {
    handle: (exchange: Parameters<typeof answerWithFetch>[0]) =>
      // Whom it names as the host is the balancer's business.
      answerWithFetch(exchange, `http://connect${exchange.request.target}`, (request, upgrade) =>
        app.fetch(request, {
          openTunnel: (key) => {
            // From here on what is inside is counted, and gives way itself as long as its handshake is not over.
            place.established();
            return tunnels.open({ headers: request.headers, source, arrival, upgrade }, key);
          },
        }),
      ),
  };
  try {
    await runtime.serveHttp(connection, null, serving, draining, { idleMs, halfCloseMs: idleMs });
  } catch {
    // A connection that broke has nobody to tell.
  } finally {
    place.leave();
  }
}
