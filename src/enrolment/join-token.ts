import { z } from "zod";
import { sha256Hex } from "../identity/identity.ts";
import { limits, person } from "./grant.ts";
import { EnrolmentRefusal } from "./refusal.ts";

/** In front of every token, so that scanners for leaked secrets know one. */
const prefix = "sallyport-join-";
const form = /^sallyport-join-[A-Za-z0-9_-]{43}$/;

/** True of a text that is meant as a join token, rather than as an ID token. */
export const looksLikeJoinToken = (text: string): boolean => text.startsWith(prefix);

/** What a token stands for, as it is kept: beside it only the token's hash is known. */
export const joinTokenRecord = z.strictObject({
  person,
  /** Of the certificate. */
  lifetimeMs: z.int().positive(),
  /** How long it can be renewed; the router's own span unless it is said. */
  renewalSpanMs: z.int().nonnegative().exactOptional(),
  /** Milliseconds since 1970: the token can't be used from then on. */
  expires: z.int().positive(),
  limits: limits.exactOptional(),
});

export type JoinTokenRecord = z.output<typeof joinTokenRecord>;

export interface FoundToken {
  readonly record: JoinTokenRecord;
  readonly spent: boolean;
}

/** Where tokens are kept, by their hashes. */
export interface JoinTokenStore {
  find(hash: string): Promise<FoundToken | null>;
  /** Uses it up. True for one caller alone, however many processes ask at once. */
  spend(hash: string): Promise<boolean>;
}

/** What a token is known by. */
export const hashOf = (token: string): Promise<string> => sha256Hex(new TextEncoder().encode(token));

/** A new token: 256 random bits. */
export function newJoinToken(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  const text = btoa(String.fromCharCode(...bytes));
  return `${prefix}${text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")}`;
}

const used = (): EnrolmentRefusal =>
  new EnrolmentRefusal("token_used", "join_token: has been used already; each is good for one certificate");

/** Finds a token, which may have been used. Throws an `EnrolmentRefusal` where there is none. */
export async function findToken(store: JoinTokenStore, token: string): Promise<FoundToken> {
  const found = form.test(token) ? await store.find(await hashOf(token)) : null;
  if (found === null) throw new EnrolmentRefusal("token_invalid", "join_token: is not known");
  return found;
}

/** Throws an `EnrolmentRefusal` where a token is not good any more; does not use it up. */
export function refuseOldToken({ record: { expires }, spent }: FoundToken, now: number): void {
  if (spent) throw used();
  if (now < expires) return;
  const at = new Date(expires).toISOString();
  throw new EnrolmentRefusal("token_expired", `join_token: expired at ${at}`);
}

/** Uses a token up. Throws where somebody else was first. */
export async function spend(store: JoinTokenStore, token: string): Promise<void> {
  if (!(await store.spend(await hashOf(token)))) throw used();
}
