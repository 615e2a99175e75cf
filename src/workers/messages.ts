import { z } from "zod";

/** What a primary and its workers say to each other. A message that is another thing ends the connection. */

const whole = z.int().nonnegative();
const endpoint = z.object({ address: z.string(), port: whole });
const series = z.object({
  labels: z.array(z.string()),
  value: z.number(),
  counts: z.array(z.number()).optional(),
});
const openConnection = z.object({
  id: z.string(),
  since: z.string(),
  route: z.string().nullable(),
  source: z.string(),
  sni: z.string().nullable(),
  subject: z.string().nullable(),
  bytes_in: whole,
  bytes_out: whole,
});
export type OpenHere = {
  readonly open: number;
  readonly connections: readonly z.output<typeof openConnection>[];
};
const snapshot = z.record(z.string(), z.array(series));
/** By the variable that asks for the listener. */
const byVariable = <T extends z.ZodType>(value: T) => z.record(z.string(), value);

/** A signing key, its private half among it (RFC 7517). */
const signingKey = z.object({ alg: z.string(), jwk: z.record(z.string(), z.unknown()) });
const assertionKeys = z.object({
  current: signingKey,
  next: signingKey,
  last: signingKey.nullable(),
  since: z.number(),
});

/** What a worker finds in its standard input: where its primary is, and who it is there. */
export const summons = z.object({
  folder: z.string(),
  socket: z.string(),
  /** Whoever shows it is of this router. */
  secret: z.string(),
  /** From 1 on; who replaces a worker has its number. */
  number: whole,
});
export type Summons = z.output<typeof summons>;

const secrets = z.object({
  /** Of session tickets. */
  tickets: z.string(),
  /** `null` where the configuration has the keys. */
  assertions: assertionKeys.nullable(),
});
export type Secrets = z.output<typeof secrets>;

const listeners = byVariable(z.object({ port: whole.nullable(), fd: whole.nullable() }));

const peers = z.array(z.object({ number: whole, socket: z.string(), agents: z.array(z.string()) }));
export type PeerList = z.output<typeof peers>;

export const fromWorker = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("hello"),
    secret: z.string(),
    number: whole,
    version: z.string(),
    /** Where other workers reach it. */
    socket: z.string(),
  }),
  z.object({ type: z.literal("ready"), addresses: byVariable(endpoint) }),
  /** A place under a cap, for a holder that it numbers itself. */
  z.object({
    type: z.literal("take"),
    ask: whole,
    holder: whole,
    key: z.string(),
    cap: whole,
    /** Whether the oldest half-open holder may be asked to give way. */
    evicts: z.boolean(),
  }),
  z.object({ type: z.literal("established"), holder: whole }),
  z.object({ type: z.literal("leave"), holder: whole }),
  /** One request more under that key. */
  z.object({ type: z.literal("rate"), ask: whole, key: z.string(), perMinute: whole }),
  z.object({ type: z.literal("counted"), snapshot }),
  /** How many connections are open, and the newest of them. */
  z.object({ type: z.literal("connections"), open: whole, connections: z.array(openConnection) }),
  z.object({ type: z.literal("agents"), names: z.array(z.string()) }),
  /** Whoever signed in by that login has signed out. */
  z.object({ type: z.literal("signed-out"), id: z.string() }),
]);
export type FromWorker = z.output<typeof fromWorker>;

export const fromPrimary = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("welcome"),
    workers: whole,
    listeners,
    secrets,
    log: z.enum(["json", "text"]),
  }),
  z.object({ type: z.literal("taken"), ask: whole, granted: z.boolean() }),
  /** In so many seconds; `null`: now. */
  z.object({ type: z.literal("rated"), ask: whole, after: z.number().nullable() }),
  z.object({ type: z.literal("evict"), holder: whole }),
  z.object({ type: z.literal("count") }),
  z.object({ type: z.literal("connections") }),
  z.object({ type: z.literal("secrets"), secrets }),
  z.object({ type: z.literal("peers"), peers }),
  z.object({ type: z.literal("signed-out"), id: z.string() }),
  /** Whether so many audit records wait at the primary that no connection should make more of them. */
  z.object({ type: z.literal("recording"), full: z.boolean() }),
  z.object({ type: z.literal("drain") }),
  z.object({ type: z.literal("close") }),
]);
export type FromPrimary = z.output<typeof fromPrimary>;
export type Welcome = Extract<FromPrimary, { type: "welcome" }>;
