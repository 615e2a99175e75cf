import type { HttpClient, HttpExchange, HttpFields } from "../http/exchange.ts";
import { endToEnd, upgradeAsked } from "../http/hop-by-hop.ts";
import { isFromElsewhere } from "../http/origin.ts";
import { problem } from "../http/problem.ts";
import { hostOf, readRequest } from "../http/request.ts";
import type { Connection, Runtime, TlsConnection } from "../types.ts";
import type { Service } from "./proxy.ts";
import { patient } from "./streams.ts";

export interface AppRoute {
  /** What the app is called at the router: host and, unless it is 443, port. */
  readonly authority: string;
  /** Whether pages of other origins may ask. They may of an app that tells them apart itself, as it would without us. */
  readonly otherPages: boolean;
  /** A new connection to its route. */
  dial(): Promise<TlsConnection>;
}

/** What programs on this machine call it. */
const ownNames: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Never: a local proxy ends with its process. */
const notDraining = new AbortController().signal;

/**
 * Serves an HTTP route as plain HTTP on the loopback. Requests go on under the app's own name, and what it says of
 * itself in redirects comes back under ours.
 */
export const appService =
  (runtime: Runtime, route: AppRoute, failed: (message: string) => void): Service =>
  async (connection) => {
    const client = runtime.httpClient("http/1.1", () => route.dial());
    const serving = {
      handle: (exchange: HttpExchange) => forward(runtime, client, route, exchange, failed),
    };
    try {
      await runtime.serveHttp(connection, null, serving, notDraining, patient);
    } finally {
      client.close();
    }
  };

/** With another base where the value has this one. */
const rebased = (value: string, from: string, to: string): string =>
  value === from || value.startsWith(`${from}/`) || value.startsWith(`${from}?`)
    ? to + value.slice(from.length)
    : value;

async function forward(
  runtime: Runtime,
  client: HttpClient,
  { authority, otherPages }: AppRoute,
  exchange: HttpExchange,
  failed: (message: string) => void,
): Promise<void> {
  const { request } = exchange;
  const asked = readRequest(request);
  if (typeof asked === "string") return exchange.respond(problem(400, "protocol_error", asked));
  // A page elsewhere may have given its own name our address (DNS rebinding), and would act as this user.
  if (!ownNames.has(hostOf(asked.authority)) && !hostOf(asked.authority).endsWith(".localhost"))
    return exchange.respond(problem(421, "unknown_name", "this is a local proxy: ask it as localhost"));
  const here = `http://${asked.authority}`;
  if (!otherPages && isFromElsewhere(request.fields, here))
    return exchange.respond(
      problem(
        403,
        "source_not_allowed",
        "this is a local proxy: pages of other origins have no business here",
      ),
    );
  const there = `https://${authority}`;
  const upgrade = request.version === "1.1" ? upgradeAsked(request.fields) : null;
  const fields: HttpFields = [
    ...endToEnd(request.fields)
      .filter(([name]) => name !== "host" && name !== "expect")
      .map(([name, value]): readonly [string, string] =>
        // The app's own check of where a request is from must see its own pages as such, and no others.
        name === "origin" || name === "referer" ? [name, rebased(value, here, there)] : [name, value],
      ),
  ];
  let upgraded: Connection | null = null;
  try {
    const response = await client.request({
      method: request.method,
      target: asked.target,
      authority,
      fields,
      body: request.body,
      signal: exchange.signal,
      ...(request.trailers === undefined ? {} : { trailers: request.trailers }),
      ...(upgrade === null ? {} : { upgrade }),
    });
    const back = endToEnd(response.fields).map(([name, value]): readonly [string, string] =>
      name === "location" ? [name, rebased(value, there, here)] : [name, value],
    );
    ({ upgraded } = response);
    if (upgraded === null) {
      const { status, body, trailers } = response;
      return await exchange.respond({
        status,
        fields: back,
        body,
        ...(trailers === undefined ? {} : { trailers }),
      });
    }
    const chosen = response.fields.find(([name]) => name === "upgrade")?.[1] ?? upgrade;
    await runtime.relay(exchange.upgrade([...back, ...switching(chosen)]), upgraded, patient);
  } catch (error) {
    upgraded?.abort();
    if (exchange.signal.aborted) return;
    const detail = error instanceof Error ? error.message : String(error);
    failed(detail);
    await exchange.respond(problem(502, "upstream_unreachable", detail));
  }
}

const switching = (protocol: string | null): HttpFields =>
  protocol === null
    ? []
    : [
        ["connection", "Upgrade"],
        ["upgrade", protocol],
      ];
