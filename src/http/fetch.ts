import type { HttpBody, HttpExchange, HttpRequest } from "./exchange.ts";
import { problem } from "./problem.ts";

/** Larger than anything our own pages and API take. */
const maxBodyBytes = 64 * 1024;

/**
 * Puts a fetch-style handler (a Hono app) behind an exchange.
 *
 * @param url what it is asked for
 * @param bodyMs for all of the body: whoever sends slower is not waited for
 */
export async function answerWithFetch(
  exchange: HttpExchange,
  url: string,
  fetch: (request: Request) => Response | Promise<Response>,
  bodyMs = 30_000,
): Promise<void> {
  const { request } = exchange;
  const body = await bodyOf(request, bodyMs);
  if (body === "too large")
    return exchange.respond(problem(413, "protocol_error", `more than ${maxBodyBytes} bytes`));
  if (body === "too slow")
    return exchange.respond(problem(408, "protocol_error", `no whole request within ${bodyMs} ms`));
  let response: Response;
  try {
    const headers = new Headers(request.fields.map(([name, value]): [string, string] => [name, value]));
    response = await fetch(new Request(url, { method: request.method, headers, body }));
  } catch {
    response = new Response("Bad Request\n", { status: 400 });
  }
  const noBody = request.method === "HEAD" || response.body === null;
  await exchange.respond({
    status: response.status,
    fields: [...response.headers],
    body: noBody ? null : chunks(response.body),
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

async function* chunks(body: ReadableStream<Uint8Array> | null): HttpBody {
  if (body === null) return;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
