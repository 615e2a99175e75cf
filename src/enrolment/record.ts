import type { EnrolmentReason } from "./refusal.ts";

/** How somebody showed who they are. */
export type Credential = "join_token" | "id_token" | "certificate";

/** The audit record of a request for a certificate: one each, issued or refused. */
export interface CertificateRecord {
  /** ISO 8601. */
  readonly time: string;
  readonly id: string;
  readonly event: "certificate";
  readonly outcome: "served" | "refused" | "failed";
  readonly reason: EnrolmentReason | "ok";
  /** `address:port` of the client. */
  readonly source: string;
  /** `null` where the request did not get that far. */
  readonly credential: Credential | null;
  /** Who vouched: the provider's name and the token's subject, the join token's hash, the old certificate's serial. */
  readonly voucher: string | null;
  readonly identity: {
    readonly name: string;
    readonly groups: readonly string[];
    readonly uris: readonly string[];
  } | null;
  /** Of the certificate that was issued. */
  readonly serial: string | null;
  readonly expires: string | null;
  /** Of the SSH certificate that came with it; `null` without one. */
  readonly ssh_principals: readonly string[] | null;
  readonly detail: string | null;
}
