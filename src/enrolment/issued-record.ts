import { z } from "zod";
import { limits } from "./grant.ts";

/** What a renewal has to know of a certificate beside what stands in it. */
export const issuedRecord = z.strictObject({
  lifetimeMs: z.int().positive(),
  /** Milliseconds since 1970, from what its holder showed at first. */
  renewableUntil: z.int(),
  limits: limits.exactOptional(),
  /** The serial numbers of those it was renewed from, the first one first. */
  renewed: z.array(z.string()).readonly().exactOptional(),
  /** When the certificate does, and this can be forgotten. */
  expires: z.int(),
});

export type IssuedRecord = z.output<typeof issuedRecord>;

/** Where that is kept, by serial numbers. */
export interface IssuedStore {
  find(serial: string): Promise<IssuedRecord | null>;
  save(serial: string, record: IssuedRecord, now: number): Promise<void>;
}
