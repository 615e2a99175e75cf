/**
 * The stable codes of audit records and metrics: why a connection was served, refused or failed.
 * Users alert on them; a code is never renamed.
 */
export const reasons = [
  "ok",
  "not_tls",
  "bad_client_hello",
  "handshake_timeout",
  "handshake_failed",
  "unknown_name",
  "no_protocol",
  "client_cert_missing",
  "client_cert_untrusted",
  "client_cert_expired",
  "client_cert_revoked",
  "client_cert_unfit",
  "identity_not_allowed",
  "source_not_allowed",
  "limit_reached",
  "proxy_header_invalid",
  "upstream_unreachable",
  "upstream_refused",
  "protocol_error",
  "idle_timeout",
  "draining",
  "client_closed",
] as const;

export type Reason = (typeof reasons)[number];

/** Why a pure parser says that bytes are not what it reads. */
export type WireCode = "not_tls" | "malformed" | "too_large" | "unsupported";

/** The connection ends here: a stable code for the record, and words for the operator. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly reason: Exclude<Reason, "ok">;

  constructor(reason: Exclude<Reason, "ok">, detail: string, options?: ErrorOptions) {
    super(detail, options);
    this.reason = reason;
  }
}

/** What is wrong with one variable or flag, in words for the person who set it. Never holds a secret. */
export interface ConfigProblem {
  /** The variable or flag at fault, `SALLYPORT_ROUTE_ORDERS` or `--sni`. */
  readonly name: string;
  /** What was found and what was expected instead. */
  readonly message: string;
}

/** The configuration can't be used; lists every problem found, not only the first. Exit status 2. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map((p) => `${p.name}: ${p.message}`).join("\n"));
    this.problems = problems;
  }
}

const listenFailures: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program listens there",
  EADDRNOTAVAIL: "this machine has no such address",
  EACCES: "this user may not",
};

/** Why nobody can listen at `where`: the runtimes' own words differ, and one of them gives no reason. */
export function cannotListen(where: string, error: unknown): string {
  const { code, message = String(error) } = error as { code?: string; message?: string };
  return `can't listen on ${where}: ${listenFailures[code ?? ""] ?? message}`;
}
