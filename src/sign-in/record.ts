import type { RecordedIdentity } from "../core/record.ts";
import type { EnrolmentReason } from "../enrolment/refusal.ts";

/** The audit record of a browser that signed in, or was refused when it came back from the provider. */
export interface LoginRecord {
  /** ISO 8601. */
  readonly time: string;
  /** Connection records name the logins that requests on them were let in by. */
  readonly id: string;
  readonly event: "login";
  readonly outcome: "served" | "refused" | "failed";
  readonly reason: EnrolmentReason | "ok";
  /** `address:port` of the client. */
  readonly source: string;
  readonly route: string;
  /** The name that it was for. */
  readonly sni: string;
  readonly provider: string;
  /** The provider's name and its subject; `null` where it did not get that far. */
  readonly voucher: string | null;
  readonly identity: RecordedIdentity | null;
  readonly detail: string | null;
}
