import { type DatabaseRules, databaseRulesOf } from "../core/route.ts";
import type { Session } from "../core/session.ts";
import { mayAsk, namedBy } from "../identity/rights.ts";

/** Who may be whom on a route whose clients say so in commands, and in which databases. */
export class Access {
  readonly #session: Session;
  readonly #rules: DatabaseRules;
  readonly #howToSay: string;
  /** Whom every client is to the upstream, where the router logs in as one user. */
  protected readonly fixed: string | null;
  /** Whether the router logs in for its clients. */
  readonly logsIn: boolean;

  /** @param howToSay how a client says which user it is, in words for it, before the name */
  constructor(session: Session, howToSay: string) {
    this.#session = session;
    this.#rules = databaseRulesOf(session.route);
    this.#howToSay = howToSay;
    const credentials = session.route.upstream?.credentials ?? null;
    this.logsIn = credentials !== null;
    this.fixed = credentials?.user ?? null;
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
    if (this.#rules.users === null) return this.fixed === null || user === this.fixed;
    return mayAsk(this.#rules.users, user, ...this.#asks);
  }

  admitsDatabase(name: string): boolean {
    return mayAsk(this.#rules.names, name, ...this.#asks);
  }

  /** Whom the upstream takes a client for that asked for this user. */
  upstreamUser(user: string): string {
    return this.fixed ?? user;
  }

  /** The users that the rules give by name. */
  protected get users(): readonly string[] {
    return namedBy(this.#rules.users ?? [], ...this.#asks);
  }

  /** The databases that the rules give by name. */
  protected get databases(): readonly string[] {
    return namedBy(this.#rules.names ?? [], ...this.#asks);
  }

  get #who(): string {
    return this.#session.identity?.subject ?? "a client without a certificate";
  }

  /** Why a client may not be this user, in words for it. */
  userRefused(user: string | null): string {
    const users = this.#rules.users === null && this.fixed !== null ? [this.fixed] : this.users;
    const instead = users.length === 0 ? "" : `; ask for ${users.join(" or ")}`;
    return `${this.#who} may not be the user ${user ?? "of such a name"} here${instead}`;
  }

  /** Why a client must say who it is, in words for it. */
  get userMissing(): string {
    const { users } = this;
    const whom = users.length === 0 ? "one that you may be" : users.join(" or ");
    return `say which user you are${this.#howToSay} the name of ${whom}`;
  }

  /** Why a client may not use this database, in words for it. */
  databaseRefused(name: string | null): string {
    const { databases } = this;
    const instead = databases.length === 0 ? "" : `; there is ${databases.join(" and ")}`;
    return `${this.#who} may not use the database ${name ?? "of such a name"} here${instead}`;
  }
}
