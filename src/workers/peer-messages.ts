import { z } from "zod";

/** What one worker asks another, with the secret that all processes of one router share. */

const secret = z.string();
/** What begins each stream towards an agent. */
export const serviceTarget = z.object({
  agent: z.string(),
  service: z.string(),
  connection: z.string(),
  withinMs: z.number(),
});
export const holder = z.object({
  source: z.string(),
  route: z.string().nullable(),
  identity: z
    .object({
      keyFingerprint: z.string(),
      subject: z.string(),
      dnsNames: z.array(z.string()),
      emails: z.array(z.string()),
      uris: z.array(z.string()),
    })
    .nullable(),
});

export const peerRequest = z.discriminatedUnion("type", [
  /** Frames of a tunnel follow. */
  z.object({ type: z.literal("streams"), secret }),
  z.object({ type: z.literal("agents"), secret }),
  /** What it knows of what it does. */
  z.object({ type: z.literal("status"), secret }),
  /** What it knows of the state that routers share: answers until one is the last. */
  z.object({ type: z.literal("known"), secret }),
  z.object({
    type: z.literal("cancel"),
    secret,
    /** Its secret in base64url. */
    key: z.object({ pid: z.number(), secret: z.string() }),
    asking: holder,
  }),
]);
export type PeerRequest = z.output<typeof peerRequest>;

/** `null`: it is connected. */
export const opened = z.object({
  refused: z.object({ reason: z.string(), detail: z.string() }).nullable(),
});
export const listed = z.object({
  agents: z.array(
    z.object({
      name: z.string(),
      services: z.array(z.string()),
      version: z.string(),
      address: z.string(),
      subject: z.string(),
      since: z.string(),
      streams: z.number(),
      bytesIn: z.number(),
      bytesOut: z.number(),
    }),
  ),
});
export const knownPart = z.object({
  /** `null`: it knows nothing itself. */
  values: z.array(z.object({ map: z.string(), field: z.string(), text: z.string() })).nullable(),
  last: z.boolean(),
});
export const cancelled = z.object({ done: z.boolean() });
