import type { Route } from "../core/route.ts";
import { ipOf } from "../core/source.ts";
import { Refusal } from "../errors.ts";
import { admittedBy, brokenLimit } from "../identity/policy.ts";
import type { ClientVerifier, VerifiedClient } from "../identity/verifier.ts";
import { printable } from "../observe/printable.ts";
import { receive } from "../tunnel/exchange.ts";
import { TunnelSession } from "../tunnel/session.ts";
import type { TunnelStream } from "../tunnel/stream.ts";
import { parseAnswer } from "../tunnel/wire.ts";
import type { Runtime, TlsConnection } from "../types.ts";
import { noRouters } from "./certificate.ts";
import { maxPeerStreams, peerPings, peerProtocol } from "./session.ts";
import { parsePlace } from "./whereabouts.ts";

export interface PeerParts {
  readonly runtime: Runtime;
  readonly verifierFor: (route: Route) => ClientVerifier;
}

/** For the dial, and again for the first word. */
const dialMs = 5000;
/** One that owes an answer and said nothing for so long is taken to be gone. */
const quietMs = 2000;

/** A connection to another router, which was found to be one. */
export class DialledRouter {
  /** `host:port` that was dialled. */
  readonly name: string;
  /** By which it was dialled and verified. */
  readonly route: Route;
  /** Resolves with why. */
  readonly closed: Promise<string>;
  readonly #session: TunnelSession;
  readonly #verified: VerifiedClient;
  readonly #verifier: ClientVerifier;
  #retired = false;
  #rechecking = false;

  constructor(
    name: string,
    route: Route,
    session: TunnelSession,
    verified: VerifiedClient,
    verifier: ClientVerifier,
  ) {
    this.name = name;
    this.route = route;
    this.#session = session;
    this.#verified = verified;
    this.#verifier = verifier;
    this.closed = session.closed.then(() => session.failure?.message ?? "closed in good order");
  }

  get subject(): string {
    return this.#verified.identity.subject;
  }

  get isOpen(): boolean {
    return !this.#retired && this.#session.isOpen;
  }

  /** Throws a `Refusal` where there is no room for another. */
  open(): TunnelStream {
    return this.#session.open();
  }

  close(): void {
    this.#retired = true;
    this.#session.close();
  }

  /** No new streams; it ends with the last one that is open. */
  retire(): void {
    if (this.#retired) return;
    this.#retired = true;
    this.#session.whenEmpty(() => this.#session.close());
  }

  /** It gave no answer in time: where it is silent altogether, the next one is dialled anew. */
  suspect(): void {
    if (this.#session.silence > quietMs) this.retire();
  }

  closeWhenIdle(ms: number): void {
    let idle: ReturnType<typeof setTimeout> | undefined;
    this.#session.whenEmpty(() => {
      clearTimeout(idle);
      idle = setTimeout(() => {
        if (this.#session.size === 0) this.close();
      }, ms);
    });
    void this.closed.then(() => clearTimeout(idle));
  }

  /** Ends it where its certificate ran out, or is revoked. */
  recheck(now: number): void {
    if (now > this.#verified.notAfter + this.route.expiryGraceMs) {
      this.close();
      return;
    }
    if (this.#rechecking || !this.#verifier.isDue(this.#verified, now)) return;
    this.#rechecking = true;
    this.#verifier
      .recheck(this.#verified, now)
      .catch(() => this.close())
      .finally(() => {
        this.#rechecking = false;
      });
  }
}

/**
 * Whatever answers there is a router by its certificate, or nothing is said to it. That it holds the key, that the
 * certificate is for the routers' name and of their authority, TLS has found by now. Throws a `Refusal`.
 */
async function verify(
  connection: TlsConnection,
  route: Route,
  verifier: ClientVerifier,
): Promise<VerifiedClient> {
  const leaf = connection.peerLeaf();
  if (leaf === null) throw new Refusal("client_cert_missing", "it shows no certificate");
  const unfit = noRouters(leaf, hostOf(route));
  if (unfit !== null) throw new Refusal("client_cert_unfit", `no router has such a certificate: ${unfit}`);
  const verified = await verifier.verify({ leaf, chain: () => connection.peerChain() }, Date.now());
  const { identity } = verified;
  if (route.allow.length === 0 || admittedBy(route.allow, identity) === null)
    throw new Refusal("identity_not_allowed", `no rule of ${route.variable} admits ${identity.subject}`);
  const limit = brokenLimit(identity, route.name, ipOf(connection.remote));
  if (limit !== null) throw new Refusal(limit.reason, `${identity.subject}: ${limit.detail}`);
  return verified;
}

const hostOf = ({ names }: Route): string => names[0]?.text ?? "";

/**
 * Dials another router and finds out whether it is one. Throws a `Refusal`.
 *
 * @param name `host:port`
 */
export async function dialRouter(
  { runtime, verifierFor }: PeerParts,
  route: Route,
  name: string,
): Promise<DialledRouter> {
  const place = parsePlace(name);
  if (place === null) throw new Refusal("upstream_unreachable", `${printable(name)} is no router's address`);
  const { cert = null, key = null } = route.certificate ?? {};
  const verifier = verifierFor(route);
  const connection = await runtime
    .dial({
      ...place,
      withinMs: dialMs,
      tls: { serverName: hostOf(route), verify: true, ca: route.anchors, cert, key, alpn: [peerProtocol] },
    })
    .then(
      (dialled) => dialled as TlsConnection,
      (error: unknown) => {
        // It begins with the address.
        throw error instanceof Refusal ? new Refusal(error.reason, `router ${error.message}`) : error;
      },
    );
  try {
    if (connection.alpn !== peerProtocol)
      throw new Refusal("upstream_refused", `it speaks no ${peerProtocol}`);
    const verified = await verify(connection, route, verifier);
    const { refused } = await receive(connection, parseAnswer, dialMs, "it");
    if (refused !== null)
      throw new Refusal("upstream_refused", `it refuses this one: ${refused.reason}: ${refused.detail}`);
    const session = new TunnelSession(connection, {
      ...peerPings,
      dialled: true,
      maxStreams: maxPeerStreams,
      accept: null,
    });
    return new DialledRouter(name, route, session, verified, verifier);
  } catch (error) {
    connection.abort();
    const reason = error instanceof Refusal && error.reason === "upstream_unreachable" ? error.reason : null;
    const detail = error instanceof Error ? error.message : String(error);
    throw new Refusal(reason ?? "upstream_refused", `router ${name}: ${detail}`, { cause: error });
  }
}
