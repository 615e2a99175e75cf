import { z } from "zod";
import type { Limits } from "../authority/authority.ts";
import type { Person } from "../authority/subject.ts";

const texts = z.array(z.string().max(4096)).max(64).readonly();

/** Where from and for what a certificate may be used, as it is kept. */
export const limits = z.strictObject({ sources: texts.exactOptional(), routes: texts.exactOptional() });

/** A holder, as they are kept. */
export const person = z.strictObject({
  commonName: z.string(),
  organization: z.string().exactOptional(),
  groups: texts,
  emails: texts,
  dnsNames: texts,
  uris: texts,
});

/** What somebody may have a certificate for, once they have shown who they are. */
export interface Grant {
  readonly person: Person;
  readonly lifetimeMs: number;
  /** Until when it can be renewed, milliseconds since 1970. */
  readonly renewableUntil: number;
  readonly limits?: Limits;
}
