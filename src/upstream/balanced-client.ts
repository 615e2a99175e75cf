import { type Deadline, deadline } from "../core/deadline.ts";
import { Refusal } from "../errors.ts";
import type {
  Cancellation,
  HttpBody,
  HttpClient,
  HttpClientRequest,
  HttpClientResponse,
} from "../http/exchange.ts";
import { Unsent } from "../http/unsent.ts";
import { type Candidate, choose } from "./choice.ts";
import { Health } from "./health.ts";

export interface BalancedOptions {
  /** Requests under way at each server. */
  readonly maxRequests: number;
  /** For a place where every server is busy, milliseconds. */
  readonly waitMs: number;
}

/** One server of an upstream. */
class Server implements Candidate {
  readonly name: string;
  readonly client: HttpClient;
  readonly health = new Health();
  active = 0;

  constructor(name: string, client: HttpClient) {
    this.name = name;
    this.client = client;
  }

  get isOut(): boolean {
    return this.health.isOut(performance.now());
  }

  get outUntil(): number {
    return this.health.outUntil;
  }
}

/** How a server of an upstream is doing. */
export interface ServerState {
  /** `host:port`, or `agent/service`. */
  readonly server: string;
  readonly healthy: boolean;
  /** Requests under way. */
  readonly active: number;
}

const none: ReadonlySet<number> = new Set();

/** As many may wait as could be served. */
const waitingFactor = 1;
/** A request that was turned away unread may be asked again so often. */
const maxTurnedAway = 2;

/**
 * HTTP to one of several servers: the least busy of those that can be reached. A request goes to another where nobody
 * can have acted on it, and its body is still here.
 */
export class BalancedClient implements HttpClient {
  readonly #servers: readonly Server[];
  readonly #options: BalancedOptions;
  #turn = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(servers: readonly (readonly [name: string, client: HttpClient])[], options: BalancedOptions) {
    this.#servers = servers.map(([name, client]) => new Server(name, client));
    this.#options = options;
  }

  get active(): number {
    return this.#servers.reduce((sum, { active }) => sum + active, 0);
  }

  get states(): readonly ServerState[] {
    return this.#servers.map(({ name, isOut, active }) => ({ server: name, healthy: !isOut, active }));
  }

  async request(request: HttpClientRequest): Promise<HttpClientResponse> {
    let tried = none;
    const body = request.body === null ? null : new OnceBody(request.body);
    let turnedAway = 0;
    for (;;) {
      const free = this.#free(tried);
      const at = typeof free === "number" ? free : await this.#place(request, tried);
      const server = this.#servers[at] as Server;
      try {
        return await this.#ask(server, request, body);
      } catch (error) {
        if (!(error instanceof Unsent) || body?.begun === true || request.signal.aborted) throw error;
        if (error.noConnection) tried = new Set([...tried, at]);
        else if (++turnedAway > maxTurnedAway) throw error;
        if (tried.size === this.#servers.length) throw error;
      }
    }
  }

  async #ask(server: Server, request: HttpClientRequest, body: HttpBody | null): Promise<HttpClientResponse> {
    server.active++;
    let left = false;
    const over = (): void => {
      if (left) return;
      left = true;
      server.active--;
      this.#waiting.shift()?.();
    };
    try {
      const response = await server.client.request({ ...request, body, over });
      server.health.answered();
      return response;
    } catch (error) {
      over();
      if (error instanceof Unsent) {
        if (error.noConnection) server.health.unreachable(performance.now());
      } else if (!request.signal.aborted && error instanceof Refusal && error.reason === "upstream_refused")
        server.health.brokeOff(performance.now());
      throw error;
    }
  }

  #free(tried: ReadonlySet<number>): ReturnType<typeof choose> {
    return choose(this.#servers, this.#turn++, this.#options.maxRequests, tried);
  }

  /** The server that takes it; waits where all of them are busy. */
  async #place({ signal }: HttpClientRequest, tried: ReadonlySet<number>): Promise<number> {
    const { maxRequests, waitMs } = this.#options;
    const late = performance.now() + waitMs;
    for (;;) {
      const at = this.#free(tried);
      if (typeof at === "number") return at;
      const room = this.#waiting.length < maxRequests * this.#servers.length * waitingFactor;
      if (at === "none left" || !room || signal.aborted || performance.now() >= late)
        throw new Refusal(
          "limit_reached",
          `${maxRequests} requests are under way at each server of the upstream`,
        );
      await this.#turnToCome(late - performance.now(), signal);
    }
  }

  #turnToCome(ms: number, signal: Cancellation): Promise<void> {
    return new Promise((resolve) => {
      let late: Deadline | undefined;
      const go = (): void => {
        late?.cancel();
        signal.removeEventListener("abort", go);
        const at = this.#waiting.indexOf(go);
        if (at >= 0) this.#waiting.splice(at, 1);
        resolve();
      };
      this.#waiting.push(go);
      late = deadline(ms, go);
      signal.addEventListener("abort", go, { once: true });
    });
  }

  close(): void {
    for (const { client } of this.#servers) client.close();
  }
}

/** A body that knows whether anybody has begun to take it: from then on it is not all here. */
class OnceBody implements HttpBody {
  begun = false;
  readonly #body: HttpBody;

  constructor(body: HttpBody) {
    this.#body = body;
  }

  takeWhole(): Uint8Array | null {
    const whole = this.#body.takeWhole?.() ?? null;
    if (whole !== null) this.begun = true;
    return whole;
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    this.begun = true;
    return this.#body[Symbol.asyncIterator]();
  }
}
