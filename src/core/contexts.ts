import type { Runtime, TlsContext } from "../types.ts";
import type { Route } from "./route.ts";

export interface CertificateAndKey {
  readonly cert: string;
  readonly key: string;
}

/**
 * TLS contexts, one a route and certificate, and never shared: a session made on one route is unknown to
 * every other, since its tickets are sealed by another context's keys.
 */
export class TlsContexts {
  readonly #runtime: Runtime;
  readonly #select: (serverName: string | null) => CertificateAndKey | null;
  readonly #ticketSecret: () => Uint8Array | null;
  readonly #contexts = new Map<Route, Map<CertificateAndKey, TlsContext>>();

  /** @param ticketSecret what several processes seal session tickets by; `null`: each context has keys of its own */
  constructor(
    runtime: Runtime,
    select: (serverName: string | null) => CertificateAndKey | null,
    ticketSecret: () => Uint8Array | null,
  ) {
    this.#runtime = runtime;
    this.#select = select;
    this.#ticketSecret = ticketSecret;
  }

  /** Makes all of them anew: the ticket secret is another one. */
  renew(): void {
    this.#contexts.clear();
  }

  /** The context for a hello that was matched to this route; `null` when no certificate is for its name. */
  for(route: Route, serverName: string | null): TlsContext | null {
    const certificate = this.#select(serverName);
    if (certificate === null) return null;
    let contexts = this.#contexts.get(route);
    if (contexts === undefined) {
      contexts = new Map();
      this.#contexts.set(route, contexts);
    }
    let context = contexts.get(certificate);
    if (context === undefined) {
      const secret = this.#ticketSecret();
      context = this.#runtime.tlsContext({
        cert: certificate.cert,
        key: certificate.key,
        clientCas: route.client === "none" ? null : route.anchors,
        sessionContext: route.name.slice(0, 32),
        ...(secret === null ? {} : { tickets: { secret, name: route.name } }),
      });
      contexts.set(certificate, context);
    }
    return context;
  }
}
