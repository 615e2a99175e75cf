import { type Certificate, describe } from "../certificate.ts";
import type { Profile } from "../profile.ts";
import type { PathFailure } from "../question.ts";
import { type DenyList, deniedBy } from "./deny-list.ts";
import type { Finding, RevocationLists } from "./lists.ts";

/** Tells whether certificates of a valid path are revoked. */
export interface Revocation {
  /** Another object whenever an answer may be another one than before. */
  readonly state: object;
  check(path: readonly Certificate[], now: number, profile?: Profile): Promise<Finding>;
}

/** Whoever can be asked about a holder's certificate. */
export interface Responders {
  check(leaf: Certificate, issuer: Certificate, now: number): Promise<Finding>;
}

/** What is known of revoked certificates, of which each part may change while the router runs. */
export class KnownRevocations implements Revocation {
  #lists: RevocationLists;
  #denied: DenyList;
  readonly #responders: Responders | null;
  #state: object = {};

  constructor(lists: RevocationLists, denied: DenyList, responders: Responders | null) {
    this.#lists = lists;
    this.#denied = denied;
    this.#responders = responders;
  }

  get state(): object {
    return this.#state;
  }

  replaceLists(lists: RevocationLists): void {
    this.#lists = lists;
    this.#state = {};
  }

  replaceDenied(denied: DenyList): void {
    this.#denied = denied;
    this.#state = {};
  }

  async check(path: readonly Certificate[], now: number, profile?: Profile): Promise<Finding> {
    const failure = await this.#denial(path);
    if (failure !== null) return { failure, until: now };
    const listed = await this.#lists.check(path, now, profile);
    const [leaf, issuer] = path;
    // Last, since it takes a question to somebody else.
    if (listed.failure !== null || this.#responders === null || leaf === undefined || issuer === undefined)
      return listed;
    const answer = await this.#responders.check(leaf, issuer, now);
    return { failure: answer.failure, until: Math.min(listed.until, answer.until) };
  }

  async #denial(path: readonly Certificate[]): Promise<PathFailure | null> {
    // The anchor too: it may be the very authority whose key was stolen.
    for (const certificate of path) {
      const entry = await deniedBy(this.#denied, certificate);
      if (entry !== null) {
        return { reason: "client_cert_revoked", detail: `${describe(certificate)}: denied by its ${entry}` };
      }
    }
    return null;
  }
}
