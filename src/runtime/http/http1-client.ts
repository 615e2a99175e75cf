import { type Deadline, deadline } from "../../core/deadline.ts";
import { Refusal } from "../../errors.ts";
import type { HttpClient, HttpClientRequest, HttpClientResponse } from "../../http/exchange.ts";
import { dialled } from "../../http/unsent.ts";
import type { Connection } from "../../types.ts";
import { type Asked, Http1Upstream, type Pool } from "./http1-upstream.ts";

/** Idle connections kept for the next request, each client's own. */
const maxIdle = 256;

/**
 * How long an idle one is kept: servers that say nothing of it close after as little as 5 s, and a request that is on
 * its way by then is lost unless it may be asked twice.
 */
const idleMs = 4000;

/** HTTP/1.1 over connections that `dial` makes. */
export class Http1Client implements HttpClient, Pool {
  readonly #dial: () => Promise<Connection>;
  readonly #open = new Set<Http1Upstream>();
  /** The one that was used last comes last, and is the next to be used. */
  readonly #idle: Http1Upstream[] = [];
  #sweep: Deadline | undefined;

  constructor(dial: () => Promise<Connection>) {
    this.#dial = dial;
  }

  /** Gives it a connection that is open already. */
  offer(connection: Connection): void {
    this.free(this.#opened(connection));
  }

  request(request: HttpClientRequest): Promise<HttpClientResponse> {
    return new Promise((resolve, reject) => this.again({ request, resolve, reject }));
  }

  /**
   * An upstream may close a kept connection at any time, also while a request is on its way to it (RFC 9112 §9.3.1).
   * Ends at the latest when the kept ones are used up.
   */
  again(asked: Asked): void {
    if (asked.request.signal.aborted) return void asked.reject(left());
    const kept = this.#idle.pop();
    if (kept === undefined) void this.#askFresh(asked);
    else kept.ask(asked);
  }

  async #askFresh(asked: Asked): Promise<void> {
    let upstream: Http1Upstream;
    try {
      upstream = this.#opened(await dialled(this.#dial));
    } catch (error) {
      return void asked.reject(error as Error);
    }
    if (!asked.request.signal.aborted) return void upstream.ask(asked);
    // Whoever left meanwhile would never be told to have left, and the answer never be taken.
    this.free(upstream);
    asked.reject(left());
  }

  #opened(connection: Connection): Http1Upstream {
    const upstream = new Http1Upstream(connection, this);
    this.#open.add(upstream);
    upstream.start();
    return upstream;
  }

  free(upstream: Http1Upstream): void {
    if (!this.#open.has(upstream)) return;
    if (this.#idle.length >= maxIdle) return void upstream.close();
    upstream.idleSince = performance.now();
    this.#idle.push(upstream);
    this.#sweep ??= deadline(idleMs, this.#closeIdle);
  }

  gone(upstream: Http1Upstream): void {
    this.#open.delete(upstream);
    const at = this.#idle.indexOf(upstream);
    if (at >= 0) this.#idle.splice(at, 1);
  }

  readonly #closeIdle = (): void => {
    this.#sweep = undefined;
    const before = performance.now() - idleMs;
    const fresh = this.#idle.findIndex(({ idleSince }) => idleSince >= before);
    for (const upstream of this.#idle.splice(0, fresh < 0 ? this.#idle.length : fresh)) upstream.close();
    if (this.#idle.length > 0) this.#sweep = deadline(idleMs / 4, this.#closeIdle);
  };

  close(): void {
    this.#sweep?.cancel();
    this.#sweep = undefined;
    for (const upstream of [...this.#open]) upstream.close();
  }
}

const left = (): Refusal => new Refusal("client_closed", "the client went away");
