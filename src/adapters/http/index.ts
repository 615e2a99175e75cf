import type { Adapter, Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type { HttpClient, HttpExchange, HttpFields, HttpResponse } from "../../http.ts";
import { endToEnd, forwardedFields, smuggling, upgradeAsked } from "./headers.ts";

/** A short answer of our own, as JSON that says why. */
export function problem(status: number, reason: string, detail: string): HttpResponse {
  const body = new TextEncoder().encode(`${JSON.stringify({ error: { reason, detail } })}\n`);
  return {
    status,
    fields: [
      ["content-type", "application/json"],
      ["content-length", String(body.length)],
      ["cache-control", "no-store"],
    ],
    body: once(body),
  };
}

async function* once(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes;
}

/** The host of an authority: lower case, without its port and final dot. */
const hostOf = (authority: string): string => authority.replace(/:\d*$/, "").replace(/\.$/, "").toLowerCase();

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
  const wrong = request.version === "2" ? null : smuggling(request.fields);
  if (wrong !== null) return exchange.respond(problem(400, "protocol_error", wrong));
  if (request.authority === null) return exchange.respond(problem(400, "protocol_error", "no Host"));
  // A connection admitted for one name must not be used for another (RFC 9110 §7.4, RFC 9113 §9.1.1).
  if (session.serverName !== null && hostOf(request.authority) !== hostOf(session.serverName)) {
    return exchange.respond(problem(421, "unknown_name", "this connection was made for another name"));
  }
  const upgrade = request.version === "1.1" ? upgradeAsked(request.fields) : null;
  const fields: HttpFields = [
    ...forwardedFields(request.fields, {
      address: session.source.address,
      host: request.authority,
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
      target: request.target,
      authority: request.authority,
      fields,
      body: request.body,
      signal: exchange.signal,
    });
    if (response.upgraded === null) {
      await exchange.respond({
        status: response.status,
        fields: endToEnd(response.fields),
        body: response.body,
      });
      return;
    }
    const switched = exchange.upgrade([
      ...endToEnd(response.fields),
      ["connection", "Upgrade"],
      ["upgrade", response.fields.find(([name]) => name === "upgrade")?.[1] ?? upgrade ?? ""],
    ]);
    await session.carry(switched, response.upgraded);
  } catch (error) {
    if (exchange.signal.aborted) return;
    const refusal = error instanceof Refusal ? error : new Refusal("upstream_refused", String(error));
    session.note(refusal);
    const timedOut = /no connection within/.test(refusal.message);
    await exchange.respond(problem(timedOut ? 504 : 502, refusal.reason, "the upstream did not answer"));
  }
}
