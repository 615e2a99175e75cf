import type { HttpResponse } from "./exchange.ts";

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
