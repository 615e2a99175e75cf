import { type AcmeConfig, orderedPair } from "../config/acme.ts";
import type { ServerCertificate } from "../config/certificates.ts";
import type { Files } from "../config/pem.ts";
import type { Log } from "../observe/log.ts";
import type { Metrics } from "../observe/metrics.ts";
import { type Fault, longestWaitMs, renewalOf, waitAfter } from "./due.ts";
import { AcmeProblem } from "./problem.ts";
import type { AcmeStore } from "./store.ts";

/** How often it is looked whether something is due. */
const lookEveryMs = 1000;

/** Orders for one name after the other at the authority, for as long as a turn lasts. */
export interface Ordering {
  /** Key and chain, PEM. Rejects with an `AcmeProblem` where the authority would not. */
  certificateFor(name: string): Promise<string>;
  close(): void;
}

export interface OrdersParts {
  /** As it is now. */
  readonly config: () => AcmeConfig | null;
  /** The certificate that a name is served with, if one was ordered. */
  readonly served: (name: string) => ServerCertificate | undefined;
  readonly storeOf: (folder: string) => AcmeStore;
  readonly inspect: Files["inspectPair"];
  readonly begin: (config: AcmeConfig, store: AcmeStore, signal: AbortSignal) => Ordering;
  readonly log: Log;
  readonly metrics: Pick<Metrics, "acmeOrders">;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** From 0 to 1. */
  readonly random: () => number;
}

/**
 * Orders certificates that are missing, and those that end before long. Several processes and routers do this beside
 * each other: who shares the folder takes turns, and finds what another one has had.
 */
export class AcmeOrders {
  readonly #parts: OrdersParts;
  readonly #stopped = new AbortController();
  readonly #renewals = new WeakMap<ServerCertificate, number>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #running: Promise<void> | undefined;
  /** What is wrong with the folder, so that it is said once. */
  #trouble: string | null = null;

  constructor(parts: OrdersParts) {
    this.#parts = parts;
  }

  /** To be called once the challenges can be answered. */
  start(): void {
    this.#timer = setInterval(() => void this.look(), lookEveryMs);
    void this.look();
  }

  /** What is under way is given up, and left to whoever has the next turn. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopped.abort(new AcmeProblem("the router ends"));
    await this.#running;
  }

  /** Names that are waiting for their first certificate. */
  waiting(): readonly string[] {
    const { config, served } = this.#parts;
    return (config()?.names ?? []).filter((name) => served(name) === undefined);
  }

  /** Orders what is due, unless that is under way. Never rejects. */
  look(): Promise<void> {
    this.#running ??= this.#look()
      .then(() => {
        this.#trouble = null;
      })
      .catch((error: unknown) => {
        const problem = error instanceof Error ? error.message : String(error);
        if (this.#trouble !== problem)
          this.#parts.log.error("SALLYPORT_ACME_DIR can't be used: no certificates are ordered", { problem });
        this.#trouble = problem;
      })
      .finally(() => {
        this.#running = undefined;
      });
    return this.#running;
  }

  async #look(): Promise<void> {
    const { storeOf, begin } = this.#parts;
    const config = this.#parts.config();
    if (config === null || this.#stopped.signal.aborted) return;
    const store = storeOf(config.folder);
    store.takeUp(config.names);
    const due = config.names.filter((name) => this.#isDue(name) && !this.#waits(store, name));
    if (due.length === 0) return;
    const turn = await store.takeTurn();
    if (turn === null) return;
    const ordering = begin(config, store, this.#stopped.signal);
    try {
      for (const name of due) {
        if (this.#stopped.signal.aborted || !turn.holds) return;
        // Somebody else may have had it, or failed, since this one looked.
        if (!this.#isDueIn(store, name) || this.#waits(store, name)) continue;
        await this.#order(name, store, ordering);
      }
    } finally {
      ordering.close();
      turn.release();
    }
  }

  async #order(name: string, store: AcmeStore, ordering: Ordering): Promise<void> {
    const { log, metrics, inspect, now } = this.#parts;
    const started = now();
    try {
      const text = await ordering.certificateFor(name);
      const { notAfter } = this.#sound(name, text, inspect);
      store.keepCertificate(name, text);
      store.keepFailure(name, null);
      metrics.acmeOrders.add(1, name, "ok");
      const expires = notAfter.toISOString();
      log.info("a certificate was ordered", { name, expires, ms: now() - started });
    } catch (error) {
      if (this.#stopped.signal.aborted) return;
      this.#failed(name, store, error);
    }
  }

  /** What an authority sends is looked at before anybody serves it. */
  #sound(name: string, text: string, inspectPair: Files["inspectPair"]): ServerCertificate {
    let pair: ServerCertificate;
    try {
      pair = orderedPair(name, text, { inspectPair });
    } catch (error) {
      throw new AcmeProblem(
        `what the authority sent ${error instanceof Error ? error.message : String(error)}`,
      );
    }
    if (renewalOf(pair.cert) <= this.#parts.now())
      throw new AcmeProblem(
        `what the authority sent ends at ${pair.notAfter.toISOString()}: too soon to be of use`,
      );
    return pair;
  }

  #failed(name: string, store: AcmeStore, error: unknown): void {
    const { log, metrics, now, random } = this.#parts;
    const problem = error instanceof Error ? error.message : String(error);
    const fault: Fault = error instanceof AcmeProblem ? "refused" : "unreachable";
    const count = (store.failure(name)?.count ?? 0) + 1;
    const askedMs = error instanceof AcmeProblem ? error.retryAfterMs : null;
    const next = now() + Math.round(waitAfter(fault, count, askedMs, random));
    store.keepFailure(name, { count, next, problem });
    metrics.acmeOrders.add(1, name, "failed");
    const again = new Date(next).toISOString();
    log.error("no certificate could be ordered", { name, problem, failures: count, again });
  }

  #waits(store: AcmeStore, name: string): boolean {
    const leftMs = (store.failure(name)?.next ?? 0) - this.#parts.now();
    return leftMs > 0 && leftMs <= longestWaitMs;
  }

  /** By what is served, which costs nothing to look at. */
  #isDue(name: string): boolean {
    const certificate = this.#parts.served(name);
    if (certificate === undefined) return true;
    let renewal = this.#renewals.get(certificate);
    if (renewal === undefined) {
      renewal = renewalOf(certificate.cert);
      this.#renewals.set(certificate, renewal);
    }
    return renewal <= this.#parts.now();
  }

  /** By what is in the folder, which may be newer. */
  #isDueIn(store: AcmeStore, name: string): boolean {
    const text = store.certificate(name);
    return text === null || renewalOf(text) <= this.#parts.now();
  }
}
