import { Refusal } from "../errors.ts";
import { admittedBy, brokenLimit } from "../identity/policy.ts";
import type { VerifiedClient } from "../identity/verifier.ts";
import type { Connection, Endpoint, TlsConnection } from "../types.ts";
import { type AlertName, alertRecord } from "../wire/alert.ts";
import { type ClientHello, clientHelloParser } from "../wire/client-hello.ts";
import { cidrContains } from "../wire/ip.ts";
import { parseNotTls, plainHttpAnswer } from "../wire/not-tls.ts";
import type { Place } from "./admission.ts";
import type { Arrival } from "./arrival.ts";
import { deadline } from "./deadline.ts";
import { dialUpstream, upstreamText } from "./dial.ts";
import { inspect } from "./inspect.ts";
import { lingeringClose } from "./linger.ts";
import type { Match } from "./match.ts";
import { type ConnectionRecord, outcomeOf } from "./record.ts";
import type { Route } from "./route.ts";
import type { Router } from "./router.ts";
import type { Session } from "./session.ts";
import { ipOf, readSource } from "./source.ts";

type Hit = Extract<Match, { ok: true }>;

const alerts: Partial<Record<Refusal["reason"], AlertName>> = {
  bad_client_hello: "decode_error",
  unknown_name: "unrecognized_name",
  no_protocol: "no_application_protocol",
  source_not_allowed: "access_denied",
  limit_reached: "internal_error",
};

/** One connection, from accept to its record. */
export class Visit {
  readonly #router: Router;
  readonly #arrival: Arrival;
  readonly #started = performance.now();
  #connection: Connection;
  #source: Endpoint;
  #place: Place | undefined;
  #hello: ClientHello | undefined;
  #hit: Hit | undefined;
  #tls: TlsConnection | undefined;
  #client: VerifiedClient | undefined;
  /** Connections to upstreams that are open. */
  readonly #dialled = new Set<Connection>();
  #rechecking = false;
  #onRoute = false;
  #established = false;
  #upstream: string | null = null;
  /** Why it was ended from outside, if it was: said instead of the broken connection that follows. */
  #verdict: Refusal | undefined;
  /** What went wrong without ending it. */
  #noted: Refusal | undefined;

  constructor(router: Router, connection: Connection, arrival: Arrival) {
    this.#router = router;
    this.#connection = connection;
    this.#arrival = arrival;
    this.#source = connection.remote;
  }

  async run(): Promise<void> {
    const { admission, timeouts } = this.#router.parts;
    const late = deadline(timeouts.handshakeMs, () => {
      this.#end(new Refusal("handshake_timeout", `no finished handshake within ${timeouts.handshakeMs} ms`));
    });
    let failure: Refusal | undefined;
    try {
      this.#place = admission.enter((refusal) => this.#end(refusal));
      await this.#greet();
      const hello = await this.#inspect();
      const hit = await this.#match(hello);
      if (hit.route.terminates) await this.#terminate(hit);
      late.cancel();
      this.#place.established();
      await this.#serve(hit);
    } catch (error) {
      failure = this.#verdict ?? asRefusal(error, this.#established);
    }
    late.cancel();
    this.#record(failure);
    if (this.#onRoute && this.#hit !== undefined) this.#router.leaveRoute(this.#hit.route);
    this.#place?.leave();
    (this.#tls ?? this.#connection).abort();
  }

  /** The drain time is over. */
  forceClose(): void {
    this.#end(new Refusal("draining", "the drain time was over"));
  }

  /** Ends the connection where its client's certificate ran out, longer ago than the route bears with, or is revoked. */
  recheck(now: number): void {
    const client = this.#client;
    const route = this.#hit?.route;
    if (client === undefined || route === undefined) return;
    if (now > client.notAfter + route.expiryGraceMs) {
      const detail = `its certificate expired at ${new Date(client.notAfter).toISOString()}`;
      this.#end(new Refusal("client_cert_expired", detail));
      return;
    }
    const verifier = this.#router.parts.verifierFor(route);
    if (this.#rechecking || !verifier.isDue(client, now)) return;
    this.#rechecking = true;
    verifier
      .recheck(client, now)
      .catch((error: unknown) => this.#end(asRefusal(error, this.#established)))
      .finally(() => {
        this.#rechecking = false;
      });
  }

  #end(verdict: Refusal): void {
    this.#verdict ??= verdict;
    this.#tls?.abort();
    this.#connection.abort();
    // A client that had ended its half already leaves an upstream that knows nothing of it.
    for (const connection of this.#dialled) connection.abort("reset");
  }

  /** Who is the client? A PROXY header says it where one is due. */
  async #greet(): Promise<void> {
    const { proxyProtocol, forwardedFrom } = this.#router.parts;
    // Whoever opened a tunnel writes what is in it: the address that counts is the tunnel's.
    if (!this.#arrival.tunnelled) this.#source = await readSource(this.#connection, proxyProtocol);
    const source = ipOf(this.#source);
    // A balancer's address stands for all of its clients.
    if (!forwardedFrom.some((cidr) => cidrContains(cidr, source)))
      this.#place?.enterSource(this.#source.address);
  }

  async #inspect(): Promise<ClientHello> {
    const first = await inspect(this.#connection, clientHelloParser());
    if (first.kind === "ok") {
      this.#connection.unread(first.head);
      this.#hello = first.value;
      return first.value;
    }
    if (first.kind === "closed") {
      if (first.head.length === 0) throw new Refusal("client_closed", "closed before a word");
      throw await this.#refuse(new Refusal("bad_client_hello", "closed inside the ClientHello"));
    }
    if (first.code !== "not_tls") throw await this.#refuse(new Refusal("bad_client_hello", first.detail));

    this.#connection.unread(first.head);
    const looked = await inspect(this.#connection, parseNotTls);
    const kind = looked.kind === "ok" ? looked.value : "other";
    if (kind === "http" || kind === "http2") {
      await lingeringClose(this.#connection, plainHttpAnswer());
      throw new Refusal("not_tls", "plain HTTP");
    }
    if (kind === "proxy") {
      const { mode } = this.#router.parts.proxyProtocol;
      if (mode !== "off")
        throw new Refusal("proxy_header_invalid", "a PROXY header from a source that is not believed");
      throw new Refusal("not_tls", "a PROXY header, and SALLYPORT_PROXY_PROTOCOL is off");
    }
    throw new Refusal("not_tls", kind === "ssh" ? "SSH without TLS" : first.detail);
  }

  /** Answers with the alert that is due before any TLS state exists. */
  async #refuse(refusal: Refusal): Promise<Refusal> {
    const alert = alerts[refusal.reason];
    if (alert !== undefined) await lingeringClose(this.#connection, alertRecord(alert));
    return refusal;
  }

  async #match(hello: ClientHello): Promise<Hit> {
    const match = this.#router.parts.table.match({
      serverName: hello.serverName,
      alpn: hello.alpn,
      source: ipOf(this.#source),
      own: this.#arrival.own,
    });
    if (!match.ok) throw await this.#refuse(new Refusal(match.reason, match.detail));
    this.#hit = match;
    this.#onRoute = this.#router.enterRoute(match.route);
    if (!this.#onRoute) {
      const detail = `${match.route.maxConnections} connections are open on route ${match.route.name}`;
      throw await this.#refuse(new Refusal("limit_reached", detail));
    }
    return match;
  }

  async #terminate(hit: Hit): Promise<void> {
    const { runtime, contexts, metrics } = this.#router.parts;
    const context = contexts.for(hit.route, this.#hello?.serverName ?? null);
    if (context === null)
      throw await this.#refuse(new Refusal("unknown_name", "no certificate for this name"));
    this.#tls = await runtime.terminate(this.#connection, context, hit.alpn);
    metrics.handshake.observe((performance.now() - this.#started) / 1000);
    if (hit.route.client !== "none") await this.#verify(hit.route, this.#tls);
  }

  /** Every connection anew, resumed ones too: dates and rules may have changed since the session was made. */
  async #verify(route: Route, tls: TlsConnection): Promise<void> {
    const { verifierFor, metrics } = this.#router.parts;
    try {
      const leaf = tls.peerLeaf();
      if (leaf === null) {
        if (route.client === "required" || route.allow.length > 0) {
          throw new Refusal("client_cert_missing", "the client sent no certificate");
        }
        return;
      }
      const started = performance.now();
      try {
        this.#client = await verifierFor(route).verify({ leaf, chain: () => tls.peerChain() }, Date.now());
      } finally {
        metrics.verify.observe((performance.now() - started) / 1000);
      }
      const { identity } = this.#client;
      if (admittedBy(route.allow, identity) === null) {
        throw new Refusal(
          "identity_not_allowed",
          `no allow rule of route ${route.name} admits ${identity.subject}`,
        );
      }
      const limit = brokenLimit(identity, route.upstream === null ? null : route.name, ipOf(this.#source));
      if (limit !== null) throw new Refusal(limit.reason, `${identity.subject}: ${limit.detail}`);
      this.#place?.enterIdentity(identity.keyFingerprint);
    } catch (error) {
      const refusal = this.#verdict ?? asRefusal(error, false);
      // Decided: that the client is slow to hear it does not change why.
      this.#verdict ??= refusal;
      await this.#refuseIdentity(route, refusal);
      throw refusal;
    }
  }

  /** In the protocol's own words where it has some; always an orderly end. */
  async #refuseIdentity(route: Route, refusal: Refusal): Promise<void> {
    const { adapters } = this.#router.parts;
    const session = this.#session(route);
    try {
      await adapters.get(route.adapter)?.refuse?.(session, refusal);
    } catch {
      // The refusal stands, whether or not the client heard it.
    }
    await lingeringClose(session.client);
  }

  async #serve(hit: Hit): Promise<void> {
    const adapter = this.#router.parts.adapters.get(hit.route.adapter);
    if (adapter === undefined) throw new TypeError(`no adapter ${hit.route.adapter}`);
    this.#established = true;
    await adapter.handle(this.#session(hit.route));
    const worst = this.#verdict ?? this.#noted;
    if (worst !== undefined) throw worst;
  }

  #session(route: Route): Session {
    const { parts, draining } = this.#router;
    const hit = this.#hit;
    const client = this.#tls ?? this.#connection;
    const upstream = upstreamText(route, hit?.captures ?? {});
    const limits = { idleMs: route.idleTimeoutMs, halfCloseMs: parts.timeouts.halfCloseMs };
    const carry = async (left: Connection, right: Connection): Promise<void> => {
      const end = await parts.runtime.relay(left, right, limits);
      if (end === "idle") throw new Refusal("idle_timeout", "no byte either way for too long");
      if (end === "left_broke") throw new Refusal("client_closed", "the client broke the connection");
      if (end === "right_broke") throw new Refusal("upstream_refused", "the upstream broke the connection");
    };
    const dial = (): Promise<Connection> => this.#dial(route, upstream, client);
    return {
      route,
      arrival: this.#arrival,
      client,
      tls: this.#tls ?? null,
      serverName: this.#hello?.serverName ?? null,
      alpn: hit?.alpn ?? null,
      identity: this.#client?.identity ?? null,
      source: this.#source,
      draining,
      upstream,
      dial,
      relay: (connection) => carry(client, connection),
      carry,
      serveHttp: (serving) => parts.runtime.serveHttp(client, hit?.alpn ?? null, serving, draining, limits),
      httpClient: (protocol) => parts.runtime.httpClient(protocol, dial),
      note: (refusal) => {
        this.#noted ??= refusal;
      },
    };
  }

  async #dial(route: Route, upstream: string, client: Connection): Promise<Connection> {
    const { runtime, timeouts, metrics } = this.#router.parts;
    this.#upstream = upstream;
    const started = performance.now();
    const alpn = this.#hit?.alpn ?? null;
    const authority = this.#hello?.serverName ?? null;
    const connection = await dialUpstream(runtime, timeouts.connectMs, route, this.#hit?.captures ?? {}, {
      source: this.#source,
      destination: client.local,
      alpn,
      authority,
      tls:
        this.#tls === undefined
          ? null
          : {
              version: this.#tls.version,
              resumed: this.#tls.resumed,
              commonName: this.#client?.identity.commonName ?? null,
              certificate: this.#client?.certificate ?? null,
            },
    });
    this.#dialled.add(connection);
    void connection.closed.then(() => this.#dialled.delete(connection));
    if (this.#verdict !== undefined) connection.abort("reset");
    metrics.upstreamConnect.observe((performance.now() - started) / 1000, route.name);
    return connection;
  }

  #record(failure: Refusal | undefined): void {
    const { audit, metrics, log } = this.#router.parts;
    const reason = failure?.reason ?? "ok";
    const outcome = outcomeOf(reason, this.#established);
    const route = this.#hit?.route;
    const carried = this.#tls ?? this.#connection;
    const identity = this.#client?.identity;
    const record: ConnectionRecord = {
      time: new Date().toISOString(),
      id: crypto.randomUUID(),
      event: "connection",
      outcome,
      reason,
      source: `${bracketed(this.#source.address)}:${this.#source.port}`,
      listener: this.#arrival.listener,
      sni: this.#hello?.serverName ?? null,
      alpn: this.#hit?.alpn ?? null,
      tls: this.#tls?.version ?? null,
      ja4: this.#hello === undefined ? null : this.#router.fingerprint(this.#hello),
      resumed: this.#tls?.resumed ?? false,
      route: route?.name ?? null,
      adapter: route?.adapter ?? null,
      upstream: this.#upstream,
      identity:
        identity === undefined
          ? null
          : {
              subject: identity.subject,
              spiffe: identity.spiffe,
              groups: identity.groups,
              serial: identity.serial,
              fingerprint: identity.fingerprint,
              expires: identity.expires,
            },
      bytes_in: carried.bytesRead,
      bytes_out: carried.bytesWritten,
      duration_ms: Math.round(performance.now() - this.#started),
      detail: failure?.message ?? null,
    };
    audit(record);
    metrics.connections.add(1, route?.name ?? "", outcome, reason);
    if (route !== undefined) {
      metrics.bytes.add(record.bytes_in, route.name, "in");
      metrics.bytes.add(record.bytes_out, route.name, "out");
    }
    if (failure?.cause instanceof TypeError) log.error("a fault of our own", { detail: failure.cause.stack });
  }
}

const bracketed = (address: string): string => (address.includes(":") ? `[${address}]` : address);

function asRefusal(error: unknown, established: boolean): Refusal {
  if (error instanceof Refusal) return error;
  const detail = error instanceof Error ? error.message : String(error);
  // Reading the first bytes or serving, the only other thing that throws is a connection that broke.
  if (!(error instanceof TypeError)) return new Refusal("client_closed", detail, { cause: error });
  return new Refusal(established ? "protocol_error" : "handshake_failed", detail, { cause: error });
}
