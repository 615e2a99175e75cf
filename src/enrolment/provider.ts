import type { Template } from "./template.ts";

/** One condition on a claim, as `require=` has it. */
export interface Condition {
  readonly claim: string;
  /** `*` stands for characters within a part between two `/`. */
  readonly pattern: string;
}

/** An OpenID provider that vouches for people or machines, and what becomes of its word. Made by the configuration. */
export interface Provider {
  readonly name: string;
  /** As it stands in `iss`. */
  readonly issuer: string;
  /** With which people log in; `null` where only machines come with its tokens. */
  readonly clientId: string | null;
  /** `null`: a public client. One with a secret is for browsers alone: the command `login` could keep none. */
  readonly clientSecret: string | null;
  /** Whom a token may be for; one at least. */
  readonly audiences: readonly string[];
  /** What `login` asks for. */
  readonly scope: string;
  /** Any of them, of each all conditions; none: everybody the provider knows. */
  readonly require: readonly (readonly Condition[])[];
  readonly identity: {
    readonly name: Template;
    readonly organization: string | null;
    readonly groups: readonly Template[];
    /** Patterns of the groups that are taken; none: all. */
    readonly groupMatch: readonly string[];
    readonly emails: readonly Template[];
    readonly uris: readonly Template[];
  };
  /** Whether a token must be bound to the key by its nonce; one that has a nonce always must, but for `any`. */
  readonly nonce: "bound" | "required" | "any";
  /** How old a token may be. */
  readonly maxAgeMs: number;
  /** Of the certificate. */
  readonly lifetimeMs: number;
  /** How long it can be renewed from now on. */
  readonly renewalSpanMs: number;
}
