import type { Session } from "../../core/session.ts";
import { Access } from "../access.ts";

/** Who may be whom in MongoDB. */
export class MongodbAccess extends Access {
  constructor(session: Session) {
    super(session, ", with authMechanism=MONGODB-X509 and");
  }

  /** Whom a client is that names nobody; `null` where it must say. */
  get implied(): string | null {
    if (this.fixed !== null && this.admits(this.fixed)) return this.fixed;
    const [only, ...others] = this.users;
    return others.length === 0 ? (only ?? null) : null;
  }
}
