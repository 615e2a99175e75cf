import { z } from "zod";
import { reasons } from "../errors.ts";
import type { StatusHere } from "../status/here.ts";

const count = z.int().nonnegative();
const text = z.string().nullable();
const traffic = { bytesIn: count, bytesOut: count };

/** What a worker says of what it does, for the page that shows all of them. */
export const statusHere: z.ZodType<StatusHere> = z.object({
  started: z.number(),
  unready: text,
  open: count,
  routes: z.array(
    z.object({
      name: z.string(),
      open: count,
      served: count,
      refused: count,
      failed: count,
      ...traffic,
      dials: z.array(z.object({ server: z.string(), at: z.number(), ms: z.number(), failure: text })),
      states: z.array(z.object({ server: z.string(), healthy: z.boolean(), active: count })),
    }),
  ),
  newest: z.array(
    z.object({
      id: z.string(),
      since: z.number(),
      route: text,
      source: z.string(),
      sni: text,
      subject: text,
      ...traffic,
    }),
  ),
  refusals: z.array(
    z.object({
      outcome: z.enum(["served", "refused", "failed"]),
      reason: z.enum(reasons),
      time: z.string(),
      count,
      source: z.string(),
      sni: text,
      route: text,
      subject: text,
      detail: text,
    }),
  ),
  throughput: z.array(z.object({ in: z.number(), out: z.number() })),
});
