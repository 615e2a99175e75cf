import type { Connection } from "../types.ts";
import type { Cancellation, HttpBody, HttpExchange, HttpFields, HttpRequest } from "./exchange.ts";
import { problem } from "./problem.ts";

/** Larger than anything our own pages and API take. */
const maxBodyBytes = 64 * 1024;

/**
 * Switches protocols: 101 with these fields goes out, and `use` has the bare stream until it resolves. Throws
 * where the request did not ask for it. What it returns is to be returned.
 */
export type Upgrade = (fields: HttpFields, use: (connection: Connection) => Promise<void>) => Response;

/**
 * Puts a fetch-style handler (a Hono app) behind an exchange.
 *
 * @param url what it is asked for
 * @param bodyMs for all of the body: whoever sends slower is not waited for
 */
export async function answerWithFetch(
  exchange: HttpExchange,
  url: string,
  fetch: (request: Request, upgrade: Upgrade) => Response | Promise<Response>,
  bodyMs = 30_000,
): Promise<void> {
  const { request } = exchange;
  const body = await bodyOf(request, bodyMs);
  if (body === "too large")
    return exchange.respond(problem(413, "protocol_error", `more than ${maxBodyBytes} bytes`));
  if (body === "too slow")
    return exchange.respond(problem(408, "protocol_error", `no whole request within ${bodyMs} ms`));
  let response: Response;
  let switched: Promise<void> | undefined;
  const upgrade: Upgrade = (fields, use) => {
    switched = use(exchange.upgrade(fields));
    // Fetch has no response of status 101; this one is never sent.
    return new Response(null);
  };
  try {
    const headers = new Headers(request.fields.map(([name, value]): [string, string] => [name, value]));
    response = await fetch(new Request(url, { method: request.method, headers, body }), upgrade);
  } catch {
    response = new Response("Bad Request\n", { status: 400 });
  }
  if (switched !== undefined) return switched;
  const noBody = request.method === "HEAD" || response.body === null;
  await exchange.respond({
    status: response.status,
    fields: [...response.headers],
    body: noBody ? null : chunks(response.body, exchange.signal),
  });
}

/** The body, which there is none of where fetch knows of none; or why there is none to be had. */
async function bodyOf(
  { method, body }: HttpRequest,
  withinMs: number,
): Promise<BodyInit | null | "too large" | "too slow"> {
  if (body === null || method === "GET" || method === "HEAD") return null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<"too slow">((resolve) => {
    timer = setTimeout(() => resolve("too slow"), withinMs);
  });
  try {
    return await Promise.race([collect(body), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function collect(body: HttpBody): Promise<BodyInit | "too large"> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of body) {
    bytes += part.length;
    if (bytes > maxBodyBytes) return "too large";
    parts.push(part);
  }
  return new Blob(parts as BlobPart[]);
}

async function* chunks(body: ReadableStream<Uint8Array> | null, signal: Cancellation): HttpBody {
  if (body === null) return;
  const reader = body.getReader();
  // Whoever makes it is told at once that nobody reads it any more, not with the next part.
  const leave = (): void => {
    reader.cancel().catch(() => {});
  };
  signal.addEventListener("abort", leave, { once: true });
  if (signal.aborted) leave();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", leave);
    leave();
  }
}
