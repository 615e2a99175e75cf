import type { JWTPayload } from "jose";
import { z } from "zod";

const schema = z.object({
  jti: z.string(),
  /** Where on this host the browser goes then: path and query. */
  to: z.string().startsWith("/"),
  nonce: z.string(),
  verifier: z.string(),
  redirectUri: z.string(),
});

/** A login that is under way, as its browser keeps it for us. */
export type Pending = z.output<typeof schema>;

/** `null` for what another version wrote. */
export const readPending = (payload: JWTPayload): Pending | null => schema.safeParse(payload).data ?? null;
