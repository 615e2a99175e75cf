import { Refusal } from "../errors.ts";

/** What ended a connection, in the record's terms. */
export function asRefusal(error: unknown, established: boolean): Refusal {
  if (error instanceof Refusal) return error;
  const detail = error instanceof Error ? error.message : String(error);
  // Reading the first bytes or serving, the only other thing that throws is a connection that broke.
  if (!(error instanceof TypeError)) return new Refusal("client_closed", detail, { cause: error });
  return new Refusal(established ? "protocol_error" : "handshake_failed", detail, { cause: error });
}
