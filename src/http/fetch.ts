import type { HttpBody, HttpExchange } from "./exchange.ts";

/** Puts a fetch-style handler (a Hono app) behind an exchange. `url` is what it is asked for. */
export async function answerWithFetch(
  exchange: HttpExchange,
  url: string,
  fetch: (request: Request) => Response | Promise<Response>,
): Promise<void> {
  const { request } = exchange;
  let response: Response;
  try {
    const headers = new Headers(request.fields.map(([name, value]): [string, string] => [name, value]));
    response = await fetch(new Request(url, { method: request.method, headers }));
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

async function* chunks(body: ReadableStream<Uint8Array> | null): HttpBody {
  if (body === null) return;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
