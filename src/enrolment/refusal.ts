import type { Reason } from "../errors.ts";

/** Why no certificate was issued, where the codes of connections have no word for it. */
export type EnrolmentReason =
  | Exclude<Reason, "ok">
  | "request_invalid"
  | "key_unfit"
  | "identity_mismatch"
  | "token_invalid"
  | "token_expired"
  | "token_used"
  | "authority_failed";

const statuses: Partial<Record<EnrolmentReason, number>> = {
  request_invalid: 400,
  key_unfit: 400,
  token_invalid: 401,
  token_expired: 401,
  token_used: 401,
  client_cert_missing: 401,
  limit_reached: 429,
  authority_failed: 500,
  upstream_unreachable: 503,
};

/** No certificate: a stable code for scripts and the record, and words for the person who asked. */
export class EnrolmentRefusal extends Error {
  override readonly name = "EnrolmentRefusal";
  readonly reason: EnrolmentReason;
  /** Seconds after which asking again makes sense, where there is such a time. */
  readonly retryAfter: number | null;

  constructor(reason: EnrolmentReason, detail: string, retryAfter: number | null = null) {
    super(detail);
    this.reason = reason;
    this.retryAfter = retryAfter;
  }

  /** The HTTP status that says it. */
  get status(): number {
    return statuses[this.reason] ?? 403;
  }
}
