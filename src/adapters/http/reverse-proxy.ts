import type { Visitor } from "../../core/gate.ts";
import { httpRulesOf } from "../../core/route.ts";
import type { Adapter, Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type {
  Cancellation,
  HttpBody,
  HttpClient,
  HttpClientResponse,
  HttpExchange,
  HttpFields,
  HttpRequest,
  HttpResponse,
  HttpTrailers,
} from "../../http/exchange.ts";
import { endToEnd } from "../../http/hop-by-hop.ts";
import { setsOwnCookie } from "../../http/own-cookies.ts";
import { type Problem, problem } from "../../http/problem.ts";
import type { Connection } from "../../types.ts";
import { type Held, holdFor, loginOver } from "../held.ts";
import { forwardedTrailers } from "./forwarded-fields.ts";
import { type Switching, switched, switchingAsked } from "./switching.ts";

/** A request as it goes upstream. */
export interface Asking {
  readonly authority: string;
  readonly target: string;
  /** All of them, but for what a switch of protocols adds. */
  readonly fields: HttpFields;
  readonly trailers?: HttpTrailers;
  /** Between two parts of the answer's body, milliseconds; `null`: it may say nothing for as long as it likes. */
  readonly silenceMs: number | null;
  /** For whom it is, where they may lose the right to it before it ends. */
  readonly visitor?: Visitor | null;
}

/** What a protocol on top of HTTP makes of requests and answers on their way. */
export interface Dialect {
  /**
   * What is asked upstream, or the answer that turns the request away. May throw a `Refusal`.
   *
   * @param switches whether it asks to switch protocols
   */
  ask(request: HttpRequest, session: Session, switches: boolean): Promise<Asking | Problem | HttpResponse>;
  /** An answer of our own in words that the client understands. */
  inItsWords(request: HttpRequest, answer: Problem): HttpResponse;
  /** What the client hears in the place of an answer that is not for it; `null`: the answer. */
  instead?(response: HttpClientResponse): Problem | null;
  /** The upstream gave no answer, or broke off in it. */
  broke?(refusal: Refusal): void;
}

/** A reverse proxy: HTTP/1.1 or HTTP/2 from the client, either to the upstream. */
export const reverseProxy = (name: string, dialect: Dialect): Adapter => ({
  name,

  async handle(session) {
    const client = session.httpClient();
    try {
      await session.serveHttp({ handle: (exchange) => forward(session, client, exchange, dialect) });
    } finally {
      client.close();
    }
  },

  refuse: (session, refusal) => refuseRequest(session, refusal, dialect),
});

/** Answers the first request with why the client is refused, then ends the connection. */
export async function refuseRequest(
  session: Session,
  refusal: Refusal,
  dialect: Pick<Dialect, "inItsWords">,
): Promise<void> {
  await session.serveHttp({
    handle: async (exchange) => {
      const answer = dialect.inItsWords(exchange.request, problem(403, refusal.reason, refusal.message));
      await exchange.respond({ ...answer, last: true });
      session.client.closeWrite().catch(() => {});
    },
  });
}

/** Asks the upstream what a client asks, and gives the client its answer. */
export async function forward(
  session: Session,
  client: HttpClient,
  exchange: HttpExchange,
  dialect: Dialect,
): Promise<void> {
  const { request } = exchange;
  const say = (answer: Problem | HttpResponse): Promise<void> =>
    exchange.respond("reason" in answer ? dialect.inItsWords(request, answer) : answer);
  const broke = (refusal: Refusal): void => {
    session.note(refusal);
    dialect.broke?.(refusal);
  };
  let held: Held | null = null;
  try {
    const switching = switchingAsked(request);
    if (typeof switching === "string") return await say(problem(400, "protocol_error", switching));
    const asking = await dialect.ask(request, session, switching !== null);
    if ("status" in asking) return await say(asking);
    held = asking.visitor ? holdFor(asking.visitor, exchange.signal, session) : null;
    const signal = held?.signal ?? exchange.signal;
    const fields = switching === null ? asking.fields : [...asking.fields, ...switching.fields];
    const response = await client.request({
      method: request.method,
      body: request.body,
      ...switching?.request,
      target: asking.target,
      authority: asking.authority,
      fields,
      ...(asking.trailers === undefined ? {} : { trailers: asking.trailers }),
      signal,
      expectContinue: waitsForContinue(request),
      limits: { answerMs: httpRulesOf(session.route).answerMs, silenceMs: asking.silenceMs },
    });
    if (response.upgraded !== null) {
      const { upgraded } = response;
      held?.signal.addEventListener("abort", () => upgraded.abort(), { once: true });
      return await join(session, exchange, switching, fields, response);
    }
    const instead = dialect.instead?.(response) ?? null;
    if (instead !== null) {
      await response.body?.[Symbol.asyncIterator]().return?.();
      return await say(instead);
    }
    await exchange.respond({
      status: response.status,
      fields: endToEnd(response.fields, setsOwnCookie),
      body: response.body && new Noted(response.body, signal, broke),
      ...(response.trailers === undefined ? {} : { trailers: passed(response.trailers) }),
    });
  } catch (error) {
    const refusal = refusalOf(error);
    if (exchange.signal.aborted) return dialect.broke?.(refusal);
    if (held?.signal.aborted) return await say(problem(401, loginOver.reason, loginOver.message));
    broke(refusal);
    await say(answerFor(refusal));
  } finally {
    held?.release();
  }
}

/** Trailers as they go on, either way. */
export const passed =
  (trailers: HttpTrailers): HttpTrailers =>
  () =>
    forwardedTrailers(trailers());

/** A body that the client keeps back until it is told to send it; HTTP/1.0 knows nothing of it. */
const waitsForContinue = ({ version, body, fields }: HttpRequest): boolean =>
  version !== "1.0" &&
  body !== null &&
  fields.some(([name, value]) => name === "expect" && value.toLowerCase() === "100-continue");

/** The upstream has switched protocols: what follows is between it and the client. */
async function join(
  session: Session,
  exchange: HttpExchange,
  switching: Switching | null,
  asked: HttpFields,
  response: HttpClientResponse,
): Promise<void> {
  const { upgraded } = response;
  if (upgraded === null) return;
  const answer = switching === null ? null : await switched(exchange.request, switching, asked, response);
  if (answer === null) {
    upgraded.abort();
    throw new Refusal("upstream_refused", "the upstream switched protocols unasked");
  }
  let client: Connection;
  try {
    client = exchange.upgrade(answer);
  } catch (error) {
    // Nobody else would end it: it is no longer among those that are kept.
    upgraded.abort();
    throw error;
  }
  await session.carry(client, upgraded);
}

/** What the client is told of an upstream that gave no answer. */
function answerFor({ reason, message }: Refusal): Problem {
  if (reason === "protocol_error") return problem(400, reason, message);
  if (reason === "limit_reached") return problem(503, reason, "the upstream has too much to do");
  const late = reason === "idle_timeout" || /no connection within/.test(message);
  return problem(late ? 504 : 502, reason, "the upstream did not answer");
}

const refusalOf = (error: unknown): Refusal =>
  error instanceof Refusal ? error : new Refusal("upstream_refused", String(error), { cause: error });

/** The upstream's body; where it breaks off, the record says so, and whoever reads it cuts the response. */
class Noted implements AsyncIterableIterator<Uint8Array>, HttpBody {
  readonly #body: HttpBody;
  #parts: AsyncIterator<Uint8Array> | undefined;
  readonly #failed: (error: unknown) => never;

  constructor(body: HttpBody, signal: Cancellation, broke: (refusal: Refusal) => void) {
    this.#body = body;
    this.#failed = (error) => {
      if (!signal.aborted) broke(refusalOf(error));
      throw error;
    };
  }

  takeWhole(): Uint8Array | null {
    return this.#body.takeWhole?.() ?? null;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    this.#parts ??= this.#body[Symbol.asyncIterator]();
    return this.#parts.next().catch(this.#failed);
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    this.#parts ??= this.#body[Symbol.asyncIterator]();
    await this.#parts.return?.();
    return { done: true, value: undefined };
  }
}
