import { Refusal } from "../errors.ts";
import type { Cancellation, HttpClient, HttpServing } from "../http/exchange.ts";
import type { CertificateIdentity, Identity } from "../identity/identity.ts";
import type { VerifiedClient } from "../identity/verifier.ts";
import type { Asking } from "../peer/wire.ts";
import type { Connection, Endpoint, RelayEnd, RelayLimits, Taps, TlsConnection } from "../types.ts";
import { balancedClient } from "../upstream/http-upstreams.ts";
import type { ProxyFacts } from "../wire/proxy-protocol.ts";
import type { Arrival } from "./arrival.ts";
import { ticked } from "./clock.ts";
import type { CertificateAndKey } from "./contexts.ts";
import {
  type Dialling,
  dialUpstream,
  originsOf,
  secureUpstream,
  serversOf,
  serverText,
  upstreamText,
} from "./dial.ts";
import type { Gate } from "./gate.ts";
import type { Hit } from "./match.ts";
import { nowText } from "./now-text.ts";
import { type DatabaseRecord, forwardedRecord, requestRecord, statementRecord } from "./record.ts";
import type { Route, UpstreamServer, UpstreamToken } from "./route.ts";
import type { RouterParts } from "./router-parts.ts";
import type {
  ApiRequest,
  DatabaseSession,
  ForwardedStream,
  PublishedAgent,
  SecureOptions,
  Session,
  Software,
  Statement,
} from "./session.ts";
import { endpointText } from "./source.ts";

/** What is known of a connection by the time it has a route. */
export interface Admitted {
  readonly id: string;
  readonly arrival: Arrival;
  readonly hit: Hit;
  readonly serverName: string | null;
  readonly source: Endpoint;
  /** What carries it: TLS where it ends here, or the connection itself, held to the bandwidth that it may have. */
  readonly client: Connection;
  readonly tls: TlsConnection | null;
  readonly verified: VerifiedClient | null;
}

/** In the record of one connection. */
const maxLogins = 16;

/** Said to an agent in the place of a connection, where many share one. */
const sharedId = "shared";

/** No more than the route asks for. */
const asTheRouteSays: SecureOptions = {};

function throwWhereBroken(end: RelayEnd): void {
  if (end === "idle") throw new Refusal("idle_timeout", "no byte either way for too long");
  if (end === "left_broke") throw new Refusal("client_closed", "the client broke the connection");
  if (end === "right_broke") throw new Refusal("upstream_refused", "the upstream broke the connection");
}

async function timedDial(
  parts: RouterParts,
  who: Dialling,
  server: UpstreamServer,
  secure: SecureOptions | null,
): Promise<Connection> {
  const started = ticked();
  try {
    const connection = await dialUpstream(parts, who, server, secure);
    connected(parts, who, server, started);
    return connection;
  } catch (error) {
    if (error instanceof Refusal) dialled(parts, who, server, started, error);
    throw error;
  }
}

function connected(parts: RouterParts, who: Dialling, server: UpstreamServer, started: number): void {
  const ms = dialled(parts, who, server, started, null);
  parts.metrics.upstreamConnect.observe(ms / 1000, who.route.name);
}

/** Says how a dial went; gives the milliseconds that it took. */
function dialled(
  parts: RouterParts,
  { route, captures, id }: Dialling,
  server: UpstreamServer,
  started: number,
  failure: Refusal | null,
): number {
  const ms = ticked() - started;
  const text = serverText(route, captures, server);
  parts.dialled(route, text, ms, failure);
  parts.traces?.dialled(id, text, ms, failure);
  return ms;
}

const proxyFacts = (): never => {
  throw new TypeError("a shared connection says nothing of a client");
};

/** The client that all sessions of a route have in common: whoever asks first makes it, and none of them ends it. */
function shared(parts: RouterParts, route: Route, captures: Readonly<Record<string, string>>): HttpClient {
  const { runtime, timeouts, httpUpstreams } = parts;
  const client = httpUpstreams.for(route, captures, () =>
    balancedClient(
      runtime,
      timeouts.connectMs,
      route,
      captures,
      (server, alpn) =>
        timedDial(parts, { route, captures, id: sharedId, asking: null, proxyFacts }, server, { alpn }),
      httpUpstreams.processes,
    ),
  );
  return { request: (request) => client.request(request), close: () => {} };
}

/** The core's session: what adapters do goes through here, and the record is made of what they did. */
export class AdmittedSession implements Session {
  readonly id: string;
  readonly route: Route;
  readonly arrival: Arrival;
  readonly client: Connection;
  readonly tls: TlsConnection | null;
  readonly serverName: string | null;
  readonly alpn: string | null;
  readonly identity: CertificateIdentity | null;
  readonly source: Endpoint;
  readonly draining: Cancellation;
  readonly captures: Readonly<Record<string, string>>;
  readonly gate: Gate | null;
  /** Whether the upstream was dialled at all. */
  hasDialled = false;
  database: DatabaseRecord | null = null;
  agent: PublishedAgent | null = null;
  software: Software | null = null;
  /** Who signed in first of those for whom requests were let in. */
  visitor: Identity | null = null;
  /** The logins of all of them, as far as there is room; made for the first. */
  logins: Set<string> | null = null;
  /** What went wrong without ending it. */
  noted: Refusal | undefined;
  /** How it ended because the router drains. */
  departed: string | null = null;

  readonly #parts: RouterParts;
  readonly #verified: VerifiedClient | null;
  /** Connections to upstreams that are open. */
  readonly #dialled: Connection[] = [];
  #ended = false;
  #shownUris: readonly string[] | undefined;

  get upstream(): string {
    return upstreamText(this.route, this.captures);
  }

  get shownUris(): readonly string[] {
    this.#shownUris ??= this.#parts.contexts.urisOf(this.serverName);
    return this.#shownUris;
  }

  constructor(
    parts: RouterParts,
    draining: Cancellation,
    { id, arrival, hit, serverName, source, client, tls, verified }: Admitted,
  ) {
    this.#parts = parts;
    this.#verified = verified;
    this.id = id;
    this.route = hit.route;
    this.arrival = arrival;
    this.client = client;
    this.tls = tls;
    this.serverName = serverName;
    this.alpn = hit.alpn;
    this.identity = verified?.identity ?? null;
    this.source = source;
    this.draining = draining;
    this.captures = hit.captures;
    this.gate = parts.gateOf(this);
  }

  /** Ends what is open to upstreams: a client that had ended its half already leaves one that knows nothing of it. */
  end(): void {
    this.#ended = true;
    for (const connection of this.#dialled) connection.abort("reset");
  }

  get asking(): Asking {
    const { source, route, identity } = this;
    return { source: endpointText(source), route: route.name, identity };
  }

  dial(): Promise<Connection> {
    return this.#dial(asTheRouteSays);
  }

  dialPlain(): Promise<Connection> {
    return this.#dial(null);
  }

  /** In one piece, for most connections come by here: it is `relay` of what `dial` gives. */
  async forward(): Promise<void> {
    const parts = this.#parts;
    const server = this.#firstServer();
    const started = ticked();
    let upstream: Connection;
    try {
      upstream = await dialUpstream(parts, this, server, asTheRouteSays);
    } catch (error) {
      if (error instanceof Refusal) dialled(parts, this, server, started, error);
      throw error;
    }
    connected(parts, this, server, started);
    this.#dialled.push(upstream);
    if (this.#ended) upstream.abort("reset");
    throwWhereBroken(await parts.runtime.relay(this.client, upstream, this.#limits()));
  }

  #firstServer(): UpstreamServer {
    this.hasDialled = true;
    const [server] = serversOf(this.route, this.captures);
    if (server === undefined) throw new TypeError(`route ${this.route.name} has no upstream`);
    return server;
  }

  async #dial(secure: SecureOptions | null, to?: UpstreamServer): Promise<Connection> {
    const server = to ?? this.#firstServer();
    return this.#keep(await timedDial(this.#parts, this, server, secure));
  }

  proxyFacts(): ProxyFacts {
    const { source, client, alpn, serverName, tls, identity } = this;
    const shown =
      tls === null
        ? null
        : {
            version: tls.version,
            resumed: tls.resumed,
            commonName: identity?.commonName ?? null,
            certificate: this.#verified?.certificate ?? null,
          };
    return { source, destination: client.local, alpn, authority: serverName, tls: shown };
  }

  async secure(upstream: Connection, options?: SecureOptions): Promise<TlsConnection> {
    const { runtime, timeouts } = this.#parts;
    const { route, captures } = this;
    try {
      return this.#keep(
        await secureUpstream(runtime, timeouts.connectMs, route, captures, upstream, options),
      );
    } catch (error) {
      // Nothing else can be said on it, and not every runtime closes what its TLS stood on.
      upstream.abort();
      throw error;
    }
  }

  /** So that it ends with the client's connection, however that ends. */
  #keep<C extends Connection>(connection: C): C {
    this.#dialled.push(connection);
    void connection.closed.then(() => this.#dialled.splice(this.#dialled.indexOf(connection), 1));
    if (this.#ended) connection.abort("reset");
    return connection;
  }

  upstreamToken(token: UpstreamToken): string {
    return "text" in token ? token.text : this.#parts.tokenIn(token.path);
  }

  async assertion(identity: Identity): Promise<string | null> {
    return this.#parts.assertions.about(identity, originsOf(this.route, this.captures), Date.now());
  }

  async mint(user: string): Promise<CertificateAndKey> {
    try {
      return await this.#parts.mint(user);
    } catch (error) {
      if (error instanceof TypeError || !(error instanceof Error)) throw error;
      throw new Refusal("upstream_refused", `no certificate for the user: ${error.message}`, {
        cause: error,
      });
    }
  }

  relay(upstream: Connection, taps?: Taps): Promise<void> {
    return this.carry(this.client, upstream, taps);
  }

  async carry(left: Connection, right: Connection, taps?: Taps): Promise<void> {
    throwWhereBroken(await this.#parts.runtime.relay(left, right, this.#limits(), taps));
  }

  #limits(): RelayLimits {
    return { idleMs: this.route.idleTimeoutMs, halfCloseMs: this.#parts.timeouts.halfCloseMs };
  }

  async serveHttp(serving: HttpServing): Promise<void> {
    const { runtime } = this.#parts;
    await runtime.serveHttp(this.client, this.alpn, serving, this.draining, this.#limits());
    if (this.draining.aborted) this.movedOn("ended when its requests were answered");
  }

  httpClient(): HttpClient {
    const { route, captures } = this;
    const { runtime, timeouts } = this.#parts;
    this.hasDialled = true;
    if (route.upstream?.sendProxy === null) return shared(this.#parts, route, captures);
    return balancedClient(runtime, timeouts.connectMs, route, captures, (server, alpn) =>
      this.#dial({ alpn }, server),
    );
  }

  note(refusal: Refusal): void {
    this.noted ??= refusal;
  }

  movedOn(detail: string): void {
    this.departed = detail;
  }

  identified(software: Software): void {
    this.software = software;
  }

  opened({ user, askedUser, name }: DatabaseSession): void {
    this.database = { user, asked_user: askedUser ?? null, name, started: nowText() };
  }

  signedIn(identity: Identity, login: string): void {
    this.visitor ??= identity;
    this.logins ??= new Set();
    if (this.logins.size < maxLogins) this.logins.add(login);
  }

  published({ name, services, version }: PublishedAgent): void {
    this.agent = { name, services, version };
  }

  statement(statement: Statement): void {
    if (this.route.database?.auditStatements !== true) return;
    const { id, route, identity, database } = this;
    this.#parts.audit(statementRecord(statement, id, route, identity, database));
  }

  apiRequest(request: ApiRequest): void {
    const { id, route, identity } = this;
    if (route.kubernetes?.auditRequests === true)
      this.#parts.audit(requestRecord(request, id, route, identity));
  }

  forwarded(stream: ForwardedStream): void {
    this.#parts.audit(forwardedRecord(stream, this.id, this.identity));
  }
}
