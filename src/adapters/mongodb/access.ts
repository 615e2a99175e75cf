import { type DatabaseRules, databaseRulesOf } from "../../core/route.ts";
import type { Session } from "../../core/session.ts";
import { mayAsk, namedBy } from "../../identity/rights.ts";

/** Who may be whom here, and in which databases. */
export class Access {
  readonly #session: Session;
  readonly #rules: DatabaseRules;
  /** Whom every client is to the upstream, where the router logs in as one user. */
  readonly #fixed: string | null;
  /** Whether the router logs in for its clients. */
  readonly logsIn: boolean;

  constructor(session: Session) {
    this.#session = session;
    this.#rules = databaseRulesOf(session.route);
    const credentials = session.route.upstream?.credentials ?? null;
    this.logsIn = credentials !== null;
    this.#fixed = credentials?.user ?? null;
  }

  get #asks() {
    return [this.#session.identity, this.#session.captures] as const;
  }

  /** Whether the commands of a session are to be read at all. */
  get governs(): boolean {
    return this.logsIn || this.limitsUsers || this.limitsDatabases || this.audits;
  }

  get audits(): boolean {
    return this.#rules.auditStatements;
  }

  get limitsUsers(): boolean {
    return this.#rules.users !== null;
  }

  get limitsDatabases(): boolean {
    return this.#rules.names !== null;
  }

  admits(user: string): boolean {
    if (this.#rules.users === null) return this.#fixed === null || user === this.#fixed;
    return mayAsk(this.#rules.users, user, ...this.#asks);
  }

  admitsDatabase(name: string): boolean {
    return mayAsk(this.#rules.names, name, ...this.#asks);
  }

  /** Whom a client is that names nobody; `null` where it must say. */
  get implied(): string | null {
    if (this.#fixed !== null && this.admits(this.#fixed)) return this.#fixed;
    const named = this.#users;
    return named.length === 1 ? (named[0] ?? null) : null;
  }

  /** Whom the upstream takes a client for that asked for this user. */
  upstreamUser(user: string): string {
    return this.#fixed ?? user;
  }

  get #users(): readonly string[] {
    return namedBy(this.#rules.users ?? [], ...this.#asks);
  }

  get #who(): string {
    return this.#session.identity?.subject ?? "a client without a certificate";
  }

  /** Why a client may not be this user, in words for it. */
  userRefused(user: string | null): string {
    const users = this.#rules.users === null && this.#fixed !== null ? [this.#fixed] : this.#users;
    const instead = users.length === 0 ? "" : `; ask for ${users.join(" or ")}`;
    return `${this.#who} may not be the user ${user ?? "of such a name"} here${instead}`;
  }

  /** Why a client must say who it is, in words for it. */
  get userMissing(): string {
    const users = this.#users;
    const whom = users.length === 0 ? "one that you may be" : users.join(" or ");
    return `say which user you are, with authMechanism=MONGODB-X509 and the name of ${whom}`;
  }

  /** Why a client may not use this database, in words for it. */
  databaseRefused(name: string | null): string {
    const names = namedBy(this.#rules.names ?? [], ...this.#asks);
    const instead = names.length === 0 ? "" : `; there is ${names.join(" and ")}`;
    return `${this.#who} may not use the database ${name ?? "of no name"} here${instead}`;
  }
}
