import type { Runtime, TlsContext } from "../types.ts";
import { fingerprintOf, type Route } from "./route.ts";

export interface CertificateAndKey {
  readonly cert: string;
  readonly key: string;
}

const none: readonly string[] = [];

/**
 * TLS contexts, one a route and certificate, and never shared: a session made on one route is unknown to
 * every other, since its tickets are sealed by another context's keys. So it is to the same route once that
 * was changed: what it was made by may not hold any more.
 */
export class TlsContexts {
  readonly #runtime: Runtime;
  readonly #select: (serverName: string | null) => CertificateAndKey | null;
  readonly #uris = new WeakMap<CertificateAndKey, readonly string[]>();
  readonly #ticketSecret: () => Uint8Array | null;
  readonly #urisIn: (cert: string) => readonly string[];
  /** Forgotten with their routes and certificates. */
  #contexts: WeakMap<Route, WeakMap<CertificateAndKey, TlsContext>>;

  /**
   * @param ticketSecret what several processes seal session tickets by; `null`: each context has keys of its own
   * @param urisIn the URIs that a certificate names, the first of those in PEM
   * @param before whose contexts go on, where neither route nor certificate was changed
   */
  constructor(
    runtime: Runtime,
    select: (serverName: string | null) => CertificateAndKey | null,
    ticketSecret: () => Uint8Array | null,
    before?: TlsContexts,
    urisIn: (cert: string) => readonly string[] = () => none,
  ) {
    this.#urisIn = urisIn;
    this.#runtime = runtime;
    this.#select = select;
    this.#ticketSecret = ticketSecret;
    this.#contexts = before === undefined ? new WeakMap() : before.#contexts;
  }

  /** Makes all of them anew: the ticket secret is another one. */
  renew(): void {
    this.#contexts = new WeakMap();
  }

  /** The URIs of the certificate for a name; the same object for the same certificate. */
  urisOf(serverName: string | null): readonly string[] {
    const certificate = this.#select(serverName);
    if (certificate === null) return none;
    const known = this.#uris.get(certificate) ?? this.#urisIn(certificate.cert);
    this.#uris.set(certificate, known);
    return known;
  }

  /** The context for a hello that was matched to this route; `null` when no certificate is for its name. */
  for(route: Route, serverName: string | null): TlsContext | null {
    const certificate = route.certificate ?? this.#select(serverName);
    if (certificate === null) return null;
    let contexts = this.#contexts.get(route);
    if (contexts === undefined) {
      contexts = new WeakMap();
      this.#contexts.set(route, contexts);
    }
    let context = contexts.get(certificate);
    if (context === undefined) {
      const secret = this.#ticketSecret();
      const made = this.#runtime.sha256Hex(fingerprintOf(route));
      context = this.#runtime.tlsContext({
        cert: certificate.cert,
        key: certificate.key,
        clientCas: route.client === "none" ? null : route.anchors,
        sessionContext: made.slice(0, 32),
        ...(secret === null ? {} : { tickets: { secret, name: made } }),
      });
      contexts.set(certificate, context);
    }
    return context;
  }
}
