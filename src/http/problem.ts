import type { HttpResponse } from "./exchange.ts";
import { WholeBody } from "./whole-body.ts";

/** A short answer of our own that says why, and the same apart from it, for clients that read it in another form. */
export interface Problem extends HttpResponse {
  /** The code in the audit log. */
  readonly reason: string;
  readonly detail: string;
}

/** A short answer of our own, as JSON that says why. */
export function problem(status: number, reason: string, detail: string): Problem {
  const body = new TextEncoder().encode(`${JSON.stringify({ error: { reason, detail } })}\n`);
  return {
    status,
    fields: [
      ["content-type", "application/json"],
      ["content-length", String(body.length)],
      ["cache-control", "no-store"],
    ],
    body: new WholeBody(body),
    ...(status === 400 ? { last: true } : {}),
    reason,
    detail,
  };
}
