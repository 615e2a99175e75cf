import type { Person } from "../authority/authority.ts";
import type { Limits } from "../authority/issuer.ts";

/** What somebody may have a certificate for, once they have shown who they are. */
export interface Grant {
  readonly person: Person;
  readonly lifetimeMs: number;
  readonly limits?: Limits;
}
