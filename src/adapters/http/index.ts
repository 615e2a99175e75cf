import type { Adapter, Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type {
  HttpBody,
  HttpClient,
  HttpExchange,
  HttpFields,
  HttpRequest,
  HttpResponse,
} from "../../http/exchange.ts";
import { announcesBody, endToEnd, upgradeAsked } from "../../http/hop-by-hop.ts";
import { isFromElsewhere } from "../../http/origin.ts";
import { problem } from "../../http/problem.ts";
import { type Asked, admitted, readRequest } from "../../http/request.ts";
import { forwardedFields } from "./forwarded-fields.ts";

/** Who and what a request is for on this route, or the answer that turns it away. */
type Admits = (request: HttpRequest, session: Session) => Asked | HttpResponse;

/** A reverse proxy: HTTP/1.1 or HTTP/2 from the client, HTTP/1.1 (or, for `h2c`, HTTP/2) to the upstream. */
const reverseProxy = (name: string, admits: Admits): Adapter => ({
  name,

  async handle(session) {
    const protocol = session.route.scheme === "h2c" ? "h2" : "http/1.1";
    const client = session.httpClient(protocol);
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
      const { status, fields, body } = problem(403, refusal.reason, refusal.message);
      const close = exchange.request.version === "2" ? [] : ([["connection", "close"]] as const);
      await exchange.respond({ status, fields: [...fields, ...close], body });
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
  const asked = admits(request, session);
  if ("status" in asked) return exchange.respond(asked);
  const upgrade = request.version === "1.1" ? upgradeAsked(request.fields) : null;
  if (upgrade !== null && announcesBody(request.fields)) {
    return exchange.respond(problem(400, "protocol_error", "a request to switch protocols with a body"));
  }
  const fields: HttpFields = [
    ...forwardedFields(request.fields, {
      address: session.source.address,
      host: asked.authority,
      port: session.client.local.port,
    }),
    ...(upgrade === null
      ? []
      : ([
          ["connection", "Upgrade"],
          ["upgrade", upgrade],
        ] as const)),
  ];
  try {
    const response = await client.request({
      method: request.method,
      target: asked.target,
      authority: asked.authority,
      fields,
      body: request.body,
      signal: exchange.signal,
    });
    if (response.upgraded === null) {
      await exchange.respond({
        status: response.status,
        fields: endToEnd(response.fields),
        body: response.body === null ? null : noted(response.body, session, exchange),
      });
      return;
    }
    if (upgrade === null) {
      response.upgraded.abort();
      throw new Refusal("upstream_refused", "the upstream switched protocols unasked");
    }
    const switched = exchange.upgrade([
      ...endToEnd(response.fields),
      ["connection", "Upgrade"],
      ["upgrade", response.fields.find(([name]) => name === "upgrade")?.[1] ?? upgrade],
    ]);
    await session.carry(switched, response.upgraded);
  } catch (error) {
    if (exchange.signal.aborted) return;
    const refusal = refusalOf(error);
    session.note(refusal);
    if (refusal.reason === "protocol_error") {
      return exchange.respond(problem(400, refusal.reason, refusal.message));
    }
    const timedOut = /no connection within/.test(refusal.message);
    await exchange.respond(problem(timedOut ? 504 : 502, refusal.reason, "the upstream did not answer"));
  }
}

const refusalOf = (error: unknown): Refusal =>
  error instanceof Refusal ? error : new Refusal("upstream_refused", String(error), { cause: error });

/** The upstream's body; where it breaks off, the record says so, and whoever reads it cuts the response. */
async function* noted(body: HttpBody, session: Session, exchange: HttpExchange): HttpBody {
  try {
    yield* body;
  } catch (error) {
    if (!exchange.signal.aborted) session.note(refusalOf(error));
    throw error;
  }
}
