import type { Authentication } from "./wire.ts";

/** Answers what the upstream asks of whoever logs in. */
export interface Authenticator {
  /** Throws a refusal. What the client is to have of it has been put on its way. */
  answer(asked: Authentication): Promise<void>;
  /** The login is over: what the client said beyond it is for the upstream. */
  release(): void;
}
