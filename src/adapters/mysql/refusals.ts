import { Refusal } from "../../errors.ts";
import type { MysqlError } from "../../wire/mysql/packet.ts";

/** Refused in the words of the upstream, or in ours with a code that MySQL's clients know. */
export class MysqlRefusal extends Refusal {
  readonly error: MysqlError;

  constructor(reason: Refusal["reason"], error: MysqlError) {
    super(reason, error.message);
    this.error = error;
  }
}

/** Names are those of MySQL's error reference. */
export const codes = {
  databaseDenied: { code: 1044, state: "42000" }, // ER_DBACCESS_DENIED_ERROR
  accessDenied: { code: 1045, state: "28000" }, // ER_ACCESS_DENIED_ERROR
  specificAccess: { code: 1227, state: "42000" }, // ER_SPECIFIC_ACCESS_DENIED_ERROR
  handshake: { code: 1043, state: "08S01" }, // ER_HANDSHAKE_ERROR
  unknown: { code: 1105, state: "HY000" }, // ER_UNKNOWN_ERROR
  late: { code: 1159, state: "08S01" }, // ER_NET_READ_INTERRUPTED
  insecure: { code: 3159, state: "HY000" }, // ER_SECURE_TRANSPORT_REQUIRED
} as const;

/** The database user or database that was asked for is not this client's to ask for. */
export const notAllowed = (what: "user" | "database", message: string): MysqlRefusal =>
  new MysqlRefusal("identity_not_allowed", {
    ...(what === "user" ? codes.accessDenied : codes.databaseDenied),
    message,
  });

/** What a client is told: where the fault is the upstream's, not where that is. */
export function errorFor(refusal: Refusal, id: string): MysqlError {
  if (refusal instanceof MysqlRefusal && refusal.reason === "upstream_refused") return refusal.error;
  const said = (code: Pick<MysqlError, "code" | "state">, message: string): MysqlError => ({
    ...code,
    message: `sallyport: ${message}`,
  });
  if (refusal instanceof MysqlRefusal) return said(refusal.error, refusal.message);
  switch (refusal.reason) {
    case "upstream_unreachable":
      return said(codes.unknown, `the database server can't be reached (connection ${id})`);
    case "upstream_refused":
      return said(codes.unknown, `the database server does not work with us (connection ${id})`);
    case "protocol_error":
      return said(codes.handshake, refusal.message);
    default:
      return said(codes.accessDenied, refusal.message);
  }
}
