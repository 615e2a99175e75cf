import type { HttpResponse } from "./exchange.ts";
import type { Problem } from "./problem.ts";
import { WholeBody } from "./whole-body.ts";

/** What clients of Kubernetes know a failure by (metav1.StatusReason). */
const reasons: Readonly<Record<number, string>> = {
  400: "BadRequest",
  401: "Unauthorized",
  403: "Forbidden",
  429: "TooManyRequests",
  503: "ServiceUnavailable",
  504: "Timeout",
};

/** Its clients know no bad gateway. */
const known: Readonly<Record<number, number>> = { 502: 503 };

/**
 * A short answer of our own as clients of a Kubernetes API read it: a Status object (metav1.Status), whose message
 * kubectl prints.
 */
export function asStatus({ reason, detail, ...answer }: Problem): HttpResponse {
  const code = known[answer.status] ?? answer.status;
  const status = {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: `sallyport: ${detail}`,
    reason: reasons[code] ?? "InternalError",
    details: { causes: [{ reason, message: detail }] },
    code,
  };
  const body = new TextEncoder().encode(`${JSON.stringify(status)}\n`);
  return {
    ...answer,
    status: code,
    fields: answer.fields.map(([name, value]) => [
      name,
      name === "content-length" ? String(body.length) : value,
    ]),
    body: new WholeBody(body),
  };
}
