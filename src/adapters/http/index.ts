import { httpRulesOf } from "../../core/route.ts";
import type { Adapter, Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type {
  HttpBody,
  HttpClient,
  HttpClientResponse,
  HttpExchange,
  HttpFields,
  HttpRequest,
  HttpTrailers,
} from "../../http/exchange.ts";
import { inItsOwnWords } from "../../http/grpc-refusal.ts";
import { endToEnd } from "../../http/hop-by-hop.ts";
import { isFromElsewhere } from "../../http/origin.ts";
import { type Problem, problem } from "../../http/problem.ts";
import { type Asked, admitted, readRequest } from "../../http/request.ts";
import { forwardedFields, forwardedTrailers } from "./forwarded-fields.ts";
import { type Switching, switched, switchingAsked } from "./switching.ts";

/** Who and what a request is for on this route, or the answer that turns it away. */
type Admits = (request: HttpRequest, session: Session) => Asked | Problem;

/** A reverse proxy: HTTP/1.1 or HTTP/2 from the client, either to the upstream. */
const reverseProxy = (name: string, admits: Admits): Adapter => ({
  name,

  async handle(session) {
    const client = session.httpClient();
    try {
      await session.serveHttp({ handle: (exchange) => forward(session, client, exchange, admits) });
    } finally {
      client.close();
    }
  },

  refuse: (session, refusal) => refuseHttp(session, refusal),
});

export const httpAdapter: Adapter = reverseProxy("http", (request, { serverName }) =>
  admitted(request, serverName),
);

/**
 * The Kubernetes API. Its clients are told the router's address and, apart from it, the name for TLS
 * (`tls-server-name`): the Host they send is the former and chooses nothing here. Whom to act as is for the API
 * server to be asked by its own rules, never by a client through our credentials.
 */
export const kubernetesAdapter: Adapter = reverseProxy("kubernetes", (request, { upstream }) => {
  const asked = readRequest(request);
  if (typeof asked === "string") return problem(400, "protocol_error", asked);
  if (request.fields.some(([name]) => name.replaceAll("_", "-").startsWith("impersonate-")))
    return problem(403, "identity_not_allowed", "impersonation does not pass through this router");
  if (isFromElsewhere(request.fields, `https://${asked.authority}`))
    return problem(
      403,
      "source_not_allowed",
      "pages of other origins have no business with a Kubernetes API",
    );
  return { ...asked, authority: upstream };
});

/** Answers the first request with why the client is refused, then ends the connection. */
export async function refuseHttp(session: Session, refusal: Refusal): Promise<void> {
  await session.serveHttp({
    handle: async (exchange) => {
      const { request } = exchange;
      const answer = inItsOwnWords(request, problem(403, refusal.reason, refusal.message));
      await exchange.respond({ ...answer, last: true });
      session.client.closeWrite().catch(() => {});
    },
  });
}

async function forward(
  session: Session,
  client: HttpClient,
  exchange: HttpExchange,
  admits: Admits,
): Promise<void> {
  const { request } = exchange;
  const say = (answer: Problem): Promise<void> => exchange.respond(inItsOwnWords(request, answer));
  const asked = admits(request, session);
  if ("status" in asked) return say(asked);
  const switching = switchingAsked(request);
  if (typeof switching === "string") return say(problem(400, "protocol_error", switching));
  const { answerMs } = httpRulesOf(session.route);
  try {
    // A Kubernetes API authenticates by other means.
    const told = session.route.scheme !== "kubernetes";
    const fields: HttpFields = [
      ...forwardedFields(request.fields, {
        address: session.source.address,
        host: asked.authority,
        port: session.client.local.port,
        client: told ? session.identity : null,
        assertion: told ? await session.assertion() : null,
      }),
      ...(switching?.fields ?? []),
    ];
    const response = await client.request({
      method: request.method,
      body: request.body,
      ...switching?.request,
      target: asked.target,
      authority: asked.authority,
      fields,
      ...(request.trailers === undefined ? {} : { trailers: passed(request.trailers) }),
      signal: exchange.signal,
      expectContinue: waitsForContinue(request),
      limits: { answerMs, silenceMs: session.route.idleTimeoutMs },
    });
    if (response.upgraded !== null) return await join(session, exchange, switching, fields, response);
    await exchange.respond({
      status: response.status,
      fields: endToEnd(response.fields),
      body: response.body === null ? null : new Noted(response.body, session, exchange),
      ...(response.trailers === undefined ? {} : { trailers: passed(response.trailers) }),
    });
  } catch (error) {
    if (exchange.signal.aborted) return;
    const refusal = refusalOf(error);
    session.note(refusal);
    await say(answerFor(refusal));
  }
}

const passed =
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
  await session.carry(exchange.upgrade(answer), upgraded);
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
class Noted implements AsyncIterableIterator<Uint8Array> {
  readonly #body: AsyncIterator<Uint8Array>;
  readonly #failed: (error: unknown) => never;

  constructor(body: HttpBody, session: Session, { signal }: HttpExchange) {
    this.#body = body[Symbol.asyncIterator]();
    this.#failed = (error) => {
      if (!signal.aborted) session.note(refusalOf(error));
      throw error;
    };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<Uint8Array>> {
    return this.#body.next().catch(this.#failed);
  }

  async return(): Promise<IteratorResult<Uint8Array>> {
    await this.#body.return?.();
    return { done: true, value: undefined };
  }
}
