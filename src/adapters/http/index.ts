import type { Adapter, Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type { HttpBody, HttpClient, HttpExchange, HttpFields } from "../../http/exchange.ts";
import { problem } from "../../http/problem.ts";
import { admitted } from "../../http/request.ts";
import { endToEnd, forwardedFields, upgradeAsked } from "./headers.ts";

/** A reverse proxy: HTTP/1.1 or HTTP/2 from the client, HTTP/1.1 (or, for `h2c`, HTTP/2) to the upstream. */
export const httpAdapter: Adapter = {
  name: "http",

  async handle(session) {
    const protocol = session.route.scheme === "h2c" ? "h2" : "http/1.1";
    const client = session.httpClient(protocol);
    try {
      await session.serveHttp({ handle: (exchange) => forward(session, client, exchange) });
    } finally {
      client.close();
    }
  },

  refuse: (session, refusal) => refuseHttp(session, refusal),
};

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

async function forward(session: Session, client: HttpClient, exchange: HttpExchange): Promise<void> {
  const { request } = exchange;
  const asked = admitted(request, session.serverName);
  if ("status" in asked) return exchange.respond(asked);
  const upgrade = request.version === "1.1" ? upgradeAsked(request.fields) : null;
  if (upgrade !== null && request.fields.some(([name, text]) => announcesBody(name, text))) {
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

const announcesBody = (name: string, value: string): boolean =>
  name === "transfer-encoding" || (name === "content-length" && value !== "0");

/** The upstream's body; where it breaks off, the record says so, and whoever reads it cuts the response. */
async function* noted(body: HttpBody, session: Session, exchange: HttpExchange): HttpBody {
  try {
    yield* body;
  } catch (error) {
    if (!exchange.signal.aborted) session.note(refusalOf(error));
    throw error;
  }
}
