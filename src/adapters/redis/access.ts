import { type DatabaseRules, databaseRulesOf } from "../../core/route.ts";
import type { Session } from "../../core/session.ts";
import { mayAsk, namedBy } from "../../identity/rights.ts";

/** Whom Redis takes a client for that names nobody. */
const unnamed = "default";
/** Where a connection begins. */
export const firstDatabase = "0";

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
    return this.logsIn || this.limitsUsers || this.limitsDatabases || this.#rules.auditStatements;
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

  /** Whom a client is that names nobody; `null` where it must say. */
  get implied(): string | null {
    const user = this.#fixed ?? unnamed;
    if (this.admits(user)) return user;
    // Without a password of its own, a client of only one name need not say it.
    const named = this.logsIn ? this.#users : [];
    return named.length === 1 ? (named[0] ?? null) : null;
  }

  /** Whom a client means that asks for this user; `null` where it may not. */
  meant(user: string): string | null {
    if (this.admits(user)) return user;
    // What drivers send along with a password alone.
    return user === unnamed && this.logsIn ? this.implied : null;
  }

  /** Whom the upstream takes a client for that asked for this user. */
  upstreamUser(user: string): string {
    return this.#fixed ?? user;
  }

  /** A database is named by its number, and by nothing else that a server might read as one. */
  admitsDatabase(number: string): boolean {
    return (
      /^(?:0|[1-9]\d{0,9})$/.test(number) &&
      (this.#rules.names === null || mayAsk(this.#rules.names, number, ...this.#asks))
    );
  }

  /** The database that a session begins in; `null` where none is admitted by name. */
  get database(): string | null {
    if (this.admitsDatabase(firstDatabase)) return firstDatabase;
    return this.#databases.find((number) => this.admitsDatabase(number)) ?? null;
  }

  get #users(): readonly string[] {
    return namedBy(this.#rules.users ?? [], ...this.#asks);
  }

  get #databases(): readonly string[] {
    return namedBy(this.#rules.names ?? [], ...this.#asks);
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
    return `say which user you are: AUTH with the name of ${whom}`;
  }

  /** Why a client may not open this database, in words for it. */
  databaseRefused(number: string | null): string {
    const numbers = this.#databases;
    const instead = numbers.length === 0 ? "" : `; there is ${numbers.join(" and ")}`;
    return `${this.#who} may not use the database ${number ?? "of such a number"} here${instead}`;
  }
}
