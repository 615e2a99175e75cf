import { type Reason, Refusal } from "../errors.ts";
import { Gone } from "../http/cancellation.ts";
import type { VerifiedClient } from "../identity/verifier.ts";
import { LimitReached } from "../limits/limit-reached.ts";
import type { Passage } from "../limits/turnstile.ts";
import type { Connection, Endpoint, TlsConnection } from "../types.ts";
import type { ClientHello } from "../wire/client-hello.ts";
import type { Place } from "./admission.ts";
import { AdmittedSession } from "./admitted-session.ts";
import type { Arrival } from "./arrival.ts";
import { asRefusal } from "./as-refusal.ts";
import { admit, expiry, verifiedClient } from "./authorise.ts";
import { ticked } from "./clock.ts";
import { connectionId } from "./connection-id.ts";
import { connectionRecord } from "./connection-record.ts";
import { type Deadline, deadline } from "./deadline.ts";
import type { Generation } from "./generation.ts";
import { type Begun, lead, type Openings, readHello, refuseInClear } from "./hello.ts";
import { lingeringClose, refuseInProtocol } from "./linger.ts";
import type { LiveConnection, Traffic } from "./live.ts";
import type { Hit, Match } from "./match.ts";
import type { Notable, Note } from "./open-notes.ts";
import { overtime } from "./overtime.ts";
import { Progress } from "./progress.ts";
import { type ConnectionRecord, type Outcome, outcomeOf } from "./record.ts";
import { Link } from "./ring.ts";
import type { Route } from "./route.ts";
import type { RouteCounts } from "./route-counts.ts";
import type { Router } from "./router.ts";
import type { Handler } from "./session.ts";
import { endpointText, HelloFrom, isIn, readSource } from "./source.ts";
import { validatedName, validationProtocol } from "./validation.ts";

/** One connection, from accept to its record. */
export class Visit extends Link implements Notable {
  readonly #router: Router;
  readonly #generation: Generation;
  readonly #arrival: Arrival;
  readonly #started = ticked();
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
  /** What the metrics have of its traffic. */
  #countedIn = 0;
  #countedOut = 0;
  #rechecking = false;
  /** Of its route, once it counts there. */
  #counts: RouteCounts | undefined;
  #established = false;
  #note: Note | null = null;
  /** Of the handshake, then of the session where that has one. */
  #late: Deadline | undefined;
  readonly #id = connectionId();
  /** Why it was ended from outside, if it was: said instead of the broken connection that follows. */
  #verdict: Refusal | undefined;
  /** What the record says where nothing went wrong. */
  #said: string | null = null;

  // Bound, and no closure, as what hardly any connection calls should be: see `EventRelay`.
  readonly #evict: (refusal: Refusal) => void = this.#end.bind(this);

  constructor(router: Router, generation: Generation, connection: Connection, arrival: Arrival) {
    super();
    this.#router = router;
    this.#generation = generation;
    this.#connection = connection;
    this.#arrival = arrival;
    this.#source = connection.remote;
    this.#progress = generation.parts.traces === null ? null : new Progress();
  }

  /**
   * All of its way. What need not be waited for is not: where nothing is out of the ordinary, that is the first bytes,
   * the dial and the end alone.
   */
  async run(): Promise<void> {
    const { admission, timeouts, traces, notes, proxyProtocol } = this.#generation.parts;
    let failure: Refusal | undefined;
    try {
      if (this.#progress !== null) traces?.began(this.#id, this.#progress.began);
      this.#note = notes?.note(this) ?? null;
      this.#late = deadline(
        timeouts.handshakeMs,
        this.#tooLong.bind(this, overtime.handshake, timeouts.handshakeMs),
      );
      const place = admission.enter(this.#evict);
      this.#place = place instanceof Promise ? await place : place;
      // Whoever opened a tunnel writes what is in it: the address that counts is the tunnel's.
      if (!this.#arrival.tunnelled && proxyProtocol.mode !== "off")
        this.#source = await readSource(this.#connection, proxyProtocol);
      const counted = this.#arrive();
      if (counted !== undefined) await counted;

      const openings = this.#generation.openingsAt(this.#arrival);
      const first = openings.serverFirst === null ? await this.#connection.read() : null;
      const reading = this.#readHello(openings, first);
      const begun = reading instanceof Promise ? await reading : reading;
      const hello = begun?.hello ?? null;
      this.#hello = begun?.hello;
      this.#led = begun?.led ?? null;
      if (hello !== null) this.#progress?.reached("hello");
      const validated = hello === null || this.#led !== null ? null : validatedName(hello);
      if (hello !== null && (validated === null || !(await this.#validated(validated)))) {
        const hit = this.#match(hello);
        if (!hit.ok) throw await refuseInClear(this.#connection, new Refusal(hit.reason, hit.detail));
        const { route } = hit;
        this.#hit = hit;
        if (route.maxConnections !== null) await this.#enterRoute(route, route.maxConnections);
        this.#counts = this.#router.countsOf(route);
        this.#counts.count(1);
        if (route.terminates) await this.#terminate(hit);
        this.#late.cancel();
        this.#place.established();
        this.#note?.renew();
        this.#passage?.leave();

        const session = this.#serves(hit);
        await this.#handler(route).handle(session);
        const worst = this.#verdict ?? session.noted;
        if (worst !== undefined) throw worst;
      }
    } catch (error) {
      failure = this.#verdict ?? asRefusal(error, this.#established);
    }
    try {
      this.#late?.cancel();
      this.#record(failure);
      if (this.#counts !== undefined) this.#router.leftRoute(this.#counts);
      this.#passage?.leave();
      this.#place?.leave();
      (this.#tls ?? this.#connection).abort();
    } finally {
      this.#router.left(this, this.#generation);
    }
  }

  #tooLong(refusal: (ms: number) => Refusal, ms: number): void {
    this.#end(refusal(ms));
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
    const { route } = this;
    if (route === null) return;
    const { bytesRead, bytesWritten } = this.#tls ?? this.#connection;
    const counts = this.#counts ?? this.#router.countsOf(route);
    counts.carried(bytesRead - this.#countedIn, bytesWritten - this.#countedOut);
    this.#countedIn = bytesRead;
    this.#countedOut = bytesWritten;
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
    const expired = expiry(route, client, now);
    if (expired !== null) {
      this.#end(expired);
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

  /** Whose connection it is, is known: its source counts it. */
  #arrive(): void | Promise<void> {
    const { forwardedFrom, limits } = this.#generation.parts;
    // A balancer's address stands for all of its clients.
    if (isIn(forwardedFrom, this.#source)) return;
    const { address } = this.#source;
    this.#passage = limits.arrived(address, this.#evict);
    return this.#place?.enterSource(address);
  }

  /** @param first what was read already, where the client speaks first */
  #readHello(openings: Openings, first: Uint8Array | null): Begun | Promise<Begun | null> {
    const clear = { own: this.#arrival.own, source: this.#source };
    if (openings.serverFirst !== null) return lead(this.#connection, openings.serverFirst, clear);
    const proxied = this.#generation.parts.proxyProtocol.mode !== "off";
    return readHello(this.#connection, first, openings, clear, proxied);
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

  #match(hello: ClientHello): Match {
    const { own, only } = this.#arrival;
    const table = this.#generation.tableOf(this.#led?.adapter ?? only);
    return table.match(new HelloFrom(hello, this.#source, own));
  }

  async #enterRoute({ name }: Route, cap: number): Promise<void> {
    try {
      await this.#place?.enterRoute(name, cap);
    } catch (error) {
      throw error instanceof Refusal ? await refuseInClear(this.#connection, error) : error;
    }
  }

  async #terminate(hit: Hit): Promise<void> {
    const { runtime, contexts, metrics } = this.#generation.parts;
    const context = contexts.for(hit.route, this.#hello?.serverName ?? null);
    if (context === null)
      throw await refuseInClear(
        this.#connection,
        new Refusal("unknown_name", "no certificate for this name"),
      );
    await this.#passage?.pass();
    this.#tls = await runtime.terminate(this.#connection, context, hit.alpn);
    this.#progress?.reached("handshake");
    metrics.handshake.observe((ticked() - this.#started) / 1000);
    if (hit.route.client !== "none") await this.#verify(hit, this.#tls);
  }

  async #verify(hit: Hit, tls: TlsConnection): Promise<void> {
    const { parts } = this.#generation;
    try {
      const found = verifiedClient(parts, hit.route, tls);
      const client = found instanceof Promise ? await found : found;
      if (client === null) return;
      // Known from here on, let in or not.
      this.#client = client;
      admit(hit.route, client, this.#source);
      const key = client.identity.keyFingerprint;
      parts.limits.identified(this.#source.address, key);
      const counted = this.#place?.enterIdentity(key);
      if (counted !== undefined) await counted;
      this.#progress?.reached("verified");
    } catch (error) {
      const refusal = this.#verdict ?? asRefusal(error, false);
      // Decided: that the client is slow to hear it does not change why.
      this.#verdict ??= refusal;
      await refuseInProtocol(this.#handler(hit.route), this.#admitted(hit), refusal);
      throw refusal;
    }
  }

  /** It is let in: from here on its time is the route's. */
  #serves(hit: Hit): AdmittedSession {
    const session = this.#admitted(hit);
    this.#progress?.reached("served");
    this.#established = true;
    const { sessionTimeoutMs } = hit.route;
    if (sessionTimeoutMs !== null)
      this.#late = deadline(sessionTimeoutMs, this.#tooLong.bind(this, overtime.session, sessionTimeoutMs));
    return session;
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
    const tls = this.#tls ?? null;
    const { bytesRead, bytesWritten } = tls ?? this.#connection;
    return connectionRecord({
      id: this.#id,
      outcome,
      reason,
      source: this.#source,
      listener: this.#arrival.listener,
      sni: hello?.serverName ?? null,
      ja4: hello === undefined ? null : this.#router.fingerprint(hello),
      hit: this.#hit ?? null,
      tls,
      session: this.#session ?? null,
      identity: this.#client?.identity ?? this.#session?.visitor ?? null,
      bytesIn: bytesRead,
      bytesOut: bytesWritten,
      since: this.#started,
      detail,
    });
  }

  #record(failure: Refusal | undefined): void {
    const { audit, metrics, traces, log } = this.#generation.parts;
    const departed = failure === undefined ? (this.#session?.departed ?? null) : null;
    const reason = failure?.reason ?? (departed === null ? "ok" : "draining");
    const outcome = failure === undefined ? "served" : outcomeOf(reason, this.#established);
    const detail = failure?.message ?? departed ?? this.#said;
    const record = this.#recordAs(outcome, reason, detail);
    audit(record, this.#note?.close(record));
    if (this.#progress !== null) traces?.ended(record, this.#progress);
    if (reason === "ok" && this.#counts !== undefined) this.#counts.served();
    else metrics.connections.add(1, this.route?.name ?? "", outcome, reason);
    if (failure instanceof LimitReached) metrics.limited.add(1, failure.limit);
    this.#count();
    if (failure?.cause instanceof TypeError) log.error("a fault of our own", { detail: failure.cause.stack });
  }
}
