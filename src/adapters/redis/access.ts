import type { Session } from "../../core/session.ts";
import { Access } from "../access.ts";

/** Whom Redis takes a client for that names nobody. */
const unnamed = "default";
/** Where a connection begins. */
export const firstDatabase = "0";

/** Who may be whom in Redis. */
export class RedisAccess extends Access {
  constructor(session: Session) {
    super(session, ": AUTH with");
  }

  /** Whom a client is that names nobody; `null` where it must say. */
  get implied(): string | null {
    const user = this.fixed ?? unnamed;
    if (this.admits(user)) return user;
    // Without a password of its own, a client of only one name need not say it.
    const [only, ...others] = this.logsIn ? this.users : [];
    return others.length === 0 ? (only ?? null) : null;
  }

  /** Whom a client means that asks for this user; `null` where it may not. */
  meant(user: string): string | null {
    if (this.admits(user)) return user;
    // What drivers send along with a password alone.
    return user === unnamed && this.logsIn ? this.implied : null;
  }

  /** A database is named by its number, and by nothing else that a server might read as one. */
  override admitsDatabase(number: string): boolean {
    return /^(?:0|[1-9]\d{0,9})$/.test(number) && super.admitsDatabase(number);
  }

  /** The database that a session begins in; `null` where none is admitted by name. */
  get database(): string | null {
    if (this.admitsDatabase(firstDatabase)) return firstDatabase;
    return this.databases.find((number) => this.admitsDatabase(number)) ?? null;
  }
}
