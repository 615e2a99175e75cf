import { type Reason, Refusal } from "../errors.ts";
import { Gone } from "../http/cancellation.ts";
import { admittedBy, brokenLimit } from "../identity/policy.ts";
import type { VerifiedClient } from "../identity/verifier.ts";
import { LimitReached } from "../limits/limit-reached.ts";
import type { Passage } from "../limits/turnstile.ts";
import type { Connection, Endpoint, TlsConnection } from "../types.ts";
import type { ClientHello } from "../wire/client-hello.ts";
import type { Place } from "./admission.ts";
import { AdmittedSession } from "./admitted-session.ts";
import type { Arrival } from "./arrival.ts";
import { asRefusal } from "./as-refusal.ts";
import { connectionRecord } from "./connection-record.ts";
import { deadline } from "./deadline.ts";
import type { Generation } from "./generation.ts";
import { type Begun, readHello, refuseInClear } from "./hello.ts";
import { lingeringClose } from "./linger.ts";
import type { LiveConnection, Traffic } from "./live.ts";
import type { Match } from "./match.ts";
import type { Notable, Note } from "./open-notes.ts";
import { Progress } from "./progress.ts";
import { type ConnectionRecord, type Outcome, outcomeOf } from "./record.ts";
import type { Route } from "./route.ts";
import type { Router } from "./router.ts";
import type { Handler } from "./session.ts";
import { endpointText, ipOf, isIn, readSource } from "./source.ts";
import { validatedName, validationProtocol } from "./validation.ts";

type Hit = Extract<Match, { ok: true }>;

/** One connection, from accept to its record. */
export class Visit implements Notable {
  readonly #router: Router;
  readonly #generation: Generation;
  readonly #arrival: Arrival;
  readonly #started = performance.now();
  /** `null` where nobody follows connections. */
  readonly #progress: Progress | null;
  #connection: Connection;
  #source: Endpoint;
  #place: Place | undefined;
  /** Where it has to wait for its handshake, and may be turned away. */
  #passage: Passage | undefined;
  #hello: ClientHello | undefined;
  /** Who handles it, where it began in the clear. */
  #led: Begun["led"] = null;
  #hit: Hit | undefined;
  #tls: TlsConnection | undefined;
  #client: VerifiedClient | undefined;
  #session: AdmittedSession | undefined;
  readonly #leaving = new Gone();
  #counted: Traffic = { bytesIn: 0, bytesOut: 0 };
  #rechecking = false;
  #onRoute = false;
  #established = false;
  #note: Note | null = null;
  readonly #id = crypto.randomUUID();
  /** Why it was ended from outside, if it was: said instead of the broken connection that follows. */
  #verdict: Refusal | undefined;
  /** What the record says where nothing went wrong. */
  #said: string | null = null;

  constructor(router: Router, generation: Generation, connection: Connection, arrival: Arrival) {
    this.#router = router;
    this.#generation = generation;
    this.#connection = connection;
    this.#arrival = arrival;
    this.#source = connection.remote;
    this.#progress = generation.parts.traces === null ? null : new Progress();
  }

  async run(): Promise<void> {
    const { admission, timeouts, traces, notes } = this.#generation.parts;
    if (this.#progress !== null) traces?.began(this.#id, this.#progress.began);
    this.#note = notes?.note(this) ?? null;
    const late = deadline(timeouts.handshakeMs, () => {
      this.#end(new Refusal("handshake_timeout", `no finished handshake within ${timeouts.handshakeMs} ms`));
    });
    let failure: Refusal | undefined;
    try {
      this.#place = await admission.enter((refusal) => this.#end(refusal));
      await this.#greet();
      const hello = await this.#readHello();
      if (hello !== null) this.#progress?.reached("hello");
      const validated = hello === null || this.#led !== null ? null : validatedName(hello);
      if (hello !== null && (validated === null || !(await this.#validated(validated)))) {
        const hit = await this.#match(hello);
        if (hit.route.terminates) await this.#terminate(hit);
        late.cancel();
        this.#place.established();
        this.#note?.renew();
        this.#passage?.leave();
        await this.#serve(hit);
      }
    } catch (error) {
      failure = this.#verdict ?? asRefusal(error, this.#established);
    }
    late.cancel();
    this.#record(failure);
    if (this.#onRoute && this.#hit !== undefined) this.#router.countOn(this.#hit.route, -1);
    this.#passage?.leave();
    this.#place?.leave();
    (this.#tls ?? this.#connection).abort();
  }

  /** How it stands. */
  get live(): LiveConnection {
    return {
      id: this.#id,
      since: performance.timeOrigin + this.#started,
      route: this.route?.name ?? null,
      source: endpointText(this.#source),
      sni: this.#hello?.serverName ?? null,
      subject: this.#client?.identity.subject ?? null,
      ...this.traffic,
    };
  }

  /** `null` before it has one. */
  get route(): Route | null {
    return this.#hit?.route ?? null;
  }

  /** Payload bytes so far. */
  get traffic(): Traffic {
    const { bytesRead, bytesWritten } = this.#tls ?? this.#connection;
    return { bytesIn: bytesRead, bytesOut: bytesWritten };
  }

  /** Has the metrics count what it carried so far, once it is served. */
  countTraffic(): void {
    // Before that TLS may still come, and with it another count.
    if (this.#established) this.#count();
  }

  #count(): void {
    const { route, traffic } = this;
    if (route === null) return;
    const { bytes } = this.#generation.parts.metrics;
    bytes.add(traffic.bytesIn - this.#counted.bytesIn, route.name, "in");
    bytes.add(traffic.bytesOut - this.#counted.bytesOut, route.name, "out");
    this.#counted = traffic;
  }

  /** The router drains, and it is this one's turn to end when what is under way is done. */
  askToLeave(): void {
    this.#leaving.abort();
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
    const verifier = this.#generation.parts.verifierFor(route);
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
    this.#passage?.leave();
    this.#session?.end();
  }

  /** Who is the client? A PROXY header says it where one is due. */
  async #greet(): Promise<void> {
    const { proxyProtocol, forwardedFrom, limits } = this.#generation.parts;
    // Whoever opened a tunnel writes what is in it: the address that counts is the tunnel's.
    if (!this.#arrival.tunnelled && proxyProtocol.mode !== "off")
      this.#source = await readSource(this.#connection, proxyProtocol);
    const { address } = this.#source;
    // A balancer's address stands for all of its clients.
    if (isIn(forwardedFrom, this.#source)) return;
    this.#passage = limits.arrived(address, (refusal) => this.#end(refusal));
    await this.#place?.enterSource(address);
  }

  async #readHello(): Promise<ClientHello | null> {
    const { proxyProtocol } = this.#generation.parts;
    const clear = { own: this.#arrival.own, source: this.#source };
    const openings = this.#generation.openingsAt(this.#arrival);
    const begun = await readHello(this.#connection, openings, clear, proxyProtocol.mode !== "off");
    this.#hello = begun?.hello;
    this.#led = begun?.led ?? null;
    return begun?.hello ?? null;
  }

  /** An authority that validates a name is shown that it is ours (RFC 8737 §3), and let in to nothing. */
  async #validated(name: string): Promise<boolean> {
    const { runtime, challengeFor } = this.#generation.parts;
    const context = await challengeFor(name);
    if (context === null) return false;
    await this.#passage?.pass();
    this.#tls = await runtime.terminate(this.#connection, context, validationProtocol);
    this.#said = "answered a validation by ACME";
    await lingeringClose(this.#tls);
    return true;
  }

  #refuse(refusal: Refusal): Promise<Refusal> {
    return refuseInClear(this.#connection, refusal);
  }

  async #match(hello: ClientHello): Promise<Hit> {
    const table = this.#generation.tableOf(this.#led?.adapter ?? this.#arrival.only);
    const match = table.match({
      serverName: hello.serverName,
      alpn: hello.alpn,
      source: ipOf(this.#source),
      own: this.#arrival.own,
    });
    if (!match.ok) throw await this.#refuse(new Refusal(match.reason, match.detail));
    this.#hit = match;
    const { name, maxConnections } = match.route;
    try {
      if (maxConnections !== null) await this.#place?.enterRoute(name, maxConnections);
    } catch (error) {
      throw error instanceof Refusal ? await this.#refuse(error) : error;
    }
    this.#router.countOn(match.route, 1);
    this.#onRoute = true;
    return match;
  }

  async #terminate(hit: Hit): Promise<void> {
    const { runtime, contexts, metrics } = this.#generation.parts;
    const context = contexts.for(hit.route, this.#hello?.serverName ?? null);
    if (context === null)
      throw await this.#refuse(new Refusal("unknown_name", "no certificate for this name"));
    await this.#passage?.pass();
    this.#tls = await runtime.terminate(this.#connection, context, hit.alpn);
    this.#progress?.reached("handshake");
    metrics.handshake.observe((performance.now() - this.#started) / 1000);
    if (hit.route.client !== "none") await this.#verify(hit, this.#tls);
  }

  /** Every connection anew, resumed ones too: dates and rules may have changed since the session was made. */
  async #verify(hit: Hit, tls: TlsConnection): Promise<void> {
    const { route } = hit;
    const { verifierFor, metrics, limits } = this.#generation.parts;
    try {
      const leaf = tls.peerLeaf();
      if (leaf === null) {
        if (route.client === "required" || (route.allow.length > 0 && route.login === null)) {
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
      limits.identified(this.#source.address, identity.keyFingerprint);
      await this.#place?.enterIdentity(identity.keyFingerprint);
      this.#progress?.reached("verified");
    } catch (error) {
      const refusal = this.#verdict ?? asRefusal(error, false);
      // Decided: that the client is slow to hear it does not change why.
      this.#verdict ??= refusal;
      await this.#refuseIdentity(hit, refusal);
      throw refusal;
    }
  }

  /** In the protocol's own words where it has some; always an orderly end. */
  async #refuseIdentity(hit: Hit, refusal: Refusal): Promise<void> {
    const session = this.#admitted(hit);
    try {
      await this.#handler(hit.route).refuse?.(session, refusal);
    } catch {
      // The refusal stands, whether or not the client heard it.
    }
    await lingeringClose(session.client);
  }

  async #serve(hit: Hit): Promise<void> {
    const { route } = hit;
    const session = this.#admitted(hit);
    this.#progress?.reached("served");
    this.#established = true;
    const { sessionTimeoutMs } = route;
    const late =
      sessionTimeoutMs === null
        ? null
        : deadline(sessionTimeoutMs, () => {
            this.#end(
              new Refusal("limit_reached", `it was open for ${sessionTimeoutMs} ms, and may be no longer`),
            );
          });
    try {
      await this.#handler(route).handle(session);
    } finally {
      late?.cancel();
    }
    const worst = this.#verdict ?? session.noted;
    if (worst !== undefined) throw worst;
  }

  #handler(route: Route): Handler {
    const handler = this.#led?.handler ?? this.#generation.parts.adapters.get(route.adapter);
    if (handler === undefined) throw new TypeError(`no adapter ${route.adapter}`);
    return handler;
  }

  #admitted(hit: Hit): AdmittedSession {
    const session = new AdmittedSession(this.#generation.parts, this.#leaving, {
      id: this.#id,
      arrival: this.#arrival,
      hit,
      serverName: this.#hello?.serverName ?? null,
      source: this.#source,
      client: this.#paced(hit.route),
      tls: this.#tls ?? null,
      verified: this.#client ?? null,
    });
    if (this.#verdict !== undefined) session.end();
    this.#session = session;
    return session;
  }

  /** Its carrier, made to wait where it has a bandwidth. What is inside of the router's own connections is so itself. */
  #paced(route: Route): Connection {
    const carrier = this.#tls ?? this.#connection;
    if (route.upstream === null) return carrier;
    // A balancer has no passage: its address stands for all of its clients.
    const address = this.#passage === undefined ? null : this.#source.address;
    const key = this.#client?.identity.keyFingerprint ?? null;
    return this.#generation.parts.limits.pace(carrier, address, key);
  }

  cutRecord(): ConnectionRecord {
    return this.#recordAs("failed", "draining", null);
  }

  #recordAs(outcome: Outcome, reason: Reason, detail: string | null): ConnectionRecord {
    const hello = this.#hello;
    return connectionRecord(
      {
        id: this.#id,
        source: this.#source,
        listener: this.#arrival.listener,
        hello: hello === undefined ? null : { sni: hello.serverName, ja4: this.#router.fingerprint(hello) },
        hit: this.#hit ?? null,
        tls: this.#tls ?? null,
        session: this.#session ?? null,
        identity: this.#client?.identity ?? this.#session?.visitor ?? null,
        traffic: this.traffic,
        since: this.#started,
      },
      { outcome, reason, detail },
    );
  }

  #record(failure: Refusal | undefined): void {
    const { audit, metrics, traces, log } = this.#generation.parts;
    const departed = failure === undefined ? (this.#session?.departed ?? null) : null;
    const reason = failure?.reason ?? (departed === null ? "ok" : "draining");
    const outcome = failure === undefined ? "served" : outcomeOf(reason, this.#established);
    const detail = failure?.message ?? departed ?? this.#said;
    const record = this.#recordAs(outcome, reason, detail);
    const note = this.#note;
    audit(record, note === null ? undefined : () => note.erase());
    if (this.#progress !== null) traces?.ended(record, this.#progress);
    metrics.connections.add(1, this.route?.name ?? "", outcome, reason);
    if (failure instanceof LimitReached) metrics.limited.add(1, failure.limit);
    this.#count();
    if (failure?.cause instanceof TypeError) log.error("a fault of our own", { detail: failure.cause.stack });
  }
}
