import { Refusal } from "../../errors.ts";
import { postgresFatal } from "../../wire/postgres.ts";

/** SQLSTATEs (PostgreSQL documentation, appendix A). */
export const states = {
  unreachable: "08006",
  rejected: "08004",
  violation: "08P01",
  unauthorized: "28000",
  forbidden: "42501",
  unsupported: "0A000",
  /** `admin_shutdown`: drivers and pools take it for a reason to connect again. */
  shutdown: "57P01",
} as const;

/** A refusal that the client is told of: `packet` is its last word. */
export class ToldRefusal extends Refusal {
  readonly packet: Uint8Array;

  constructor(reason: Refusal["reason"], detail: string, packet: Uint8Array) {
    super(reason, detail);
    this.packet = packet;
  }
}

/** A refusal in our own words, the same for client and record unless `detail` is more than the client's business. */
export const refusal = (
  reason: Refusal["reason"],
  state: string,
  sentence: string,
  detail: string = sentence,
): ToldRefusal => new ToldRefusal(reason, detail, postgresFatal(state, `sallyport: ${sentence}`));

export const violation = (sentence: string): ToldRefusal =>
  refusal("protocol_error", states.violation, sentence);
