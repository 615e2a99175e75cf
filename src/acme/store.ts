import { z } from "zod";
import type { AcmeChallenge } from "../config/acme.ts";

/** Why there is no certificate for a name yet, and when it is tried again. */
export const failureSchema = z.object({
  /** How many times in a row. */
  count: z.int().positive(),
  /** Milliseconds since 1970. */
  next: z.number(),
  /** In words: the authority's, where it said something. */
  problem: z.string(),
});
export type Failure = Readonly<z.output<typeof failureSchema>>;

/** Somebody's turn to order: nobody else has one meanwhile. */
export interface Turn {
  /** Whether it still is: somebody who takes too long to say a word may be taken for dead. */
  readonly holds: boolean;
  release(): void;
}

/** What may be a token of `http-01` (RFC 8555 §8.3): whoever names a file by it can name no other. */
export const isToken = (text: string): boolean => /^[A-Za-z0-9_-]{1,128}$/.test(text);

/** What is kept of one directory, where all processes and routers that share it look. */
export interface AcmeStore {
  /** The account's key, PEM; the first that anybody made. */
  accountKey(make: () => Promise<string>): Promise<string>;
  /** What was ordered for a name, key and chain; `null`: nothing yet. */
  certificate(name: string): string | null;
  keepCertificate(name: string, text: string): void;
  /**
   * The key authorization that a validation is answered with; `null` where none is pending that can be heard of now.
   *
   * @param key the name for `tls-alpn-01`, the token for `http-01`
   */
  challenge(kind: AcmeChallenge, key: string): Promise<string | null>;
  /** Resolves once whoever is asked knows the answer, or finds it. Rejects where others could not. */
  publish(kind: AcmeChallenge, key: string, keyAuthorization: string): Promise<void>;
  withdraw(kind: AcmeChallenge, key: string): void;
  failure(name: string): Failure | null;
  /** `null`: it went well. */
  keepFailure(name: string, failure: Failure | null): void;
  /** `null` while somebody else has the turn. */
  takeTurn(): Promise<Turn | null>;
  /** Takes up what others have told of these names. */
  takeUp(names: readonly string[]): void;
}
