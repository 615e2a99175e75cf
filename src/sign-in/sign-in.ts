import type { Gate } from "../core/gate.ts";
import { LruMap } from "../core/lru-map.ts";
import type { Route } from "../core/route.ts";
import type { Session } from "../core/session.ts";
import type { IdTokens } from "../enrolment/id-token.ts";
import type { RateLimit } from "../enrolment/rate.ts";
import type { DenyList } from "../identity/revocation/deny-list.ts";
import { type LoginProvider, ProviderClient } from "./provider-client.ts";
import type { LoginRecord } from "./record.ts";
import { RouteGate } from "./route-gate.ts";
import { Seals, type Secrets } from "./seals.ts";
import { readClaims, type SignedIn } from "./signed-in.ts";

export interface SignInParts {
  readonly providers: readonly LoginProvider[];
  readonly idTokens: IdTokens;
  readonly secrets: Secrets;
  /** The router's own name: providers send browsers there. */
  readonly host: string;
  readonly lifetimeMs: number;
  /** Whom the operator denies, as it stands now. */
  readonly denied: () => DenyList;
  readonly audit: (record: LoginRecord) => void;
  /** How often one source may: counted for all processes of a router. */
  readonly rate: (perMinute: number, what: string) => RateLimit;
  /** Tells the other processes of the router that a session is over. */
  readonly tellSignedOut: (id: string) => void;
}

/** Logins that come back from a provider, a minute and source: each makes the router ask there. */
const perSource = 120;
const remembered = 10_000;
/**
 * Sessions that were signed out of. A copy of a cookie is good again once so many others have signed out since: that
 * takes a login at the provider for each, and more than ten hours from one source.
 */
const rememberedSignOuts = 100_000;

/** What is under way for somebody who signed in. */
interface Held {
  readonly who: SignedIn;
  readonly graceMs: number;
  readonly end: () => void;
}

/** Browsers that sign in by OpenID Connect, on all routes of a router. */
export class SignIn {
  readonly parts: SignInParts;
  readonly seals: Seals;
  readonly rate: RateLimit;
  /** Logins that came back already: one of them is good once. */
  readonly used = new LruMap<string, true>(remembered);
  readonly #clients: ReadonlyMap<
    string,
    { readonly provider: LoginProvider; readonly client: ProviderClient }
  >;
  readonly #signedOut = new LruMap<string, true>(rememberedSignOuts);
  #read = new LruMap<string, SignedIn>(1024);
  readonly #held = new Set<Held>();

  constructor(parts: SignInParts) {
    this.parts = parts;
    this.seals = new Seals(parts.secrets);
    this.rate = parts.rate(perSource, "from this source to sign in");
    this.#clients = new Map(
      parts.providers.map((provider) => [provider.name, { provider, client: new ProviderClient(provider) }]),
    );
  }

  /** `null` where a certificate alone says who somebody is, and no browser comes back from a provider. */
  gate(session: Session): Gate | null {
    const { login, upstream } = session.route;
    return login === null && upstream !== null ? null : new RouteGate(this, session);
  }

  at(login: string): { readonly provider: LoginProvider; readonly client: ProviderClient } {
    const found = this.#clients.get(login);
    if (found === undefined) throw new TypeError(`no provider ${login}`);
    return found;
  }

  /**
   * Who a session's cookie is about; `null` where it is no good, here or at all.
   *
   * @param audience for whom it must have been made
   */
  async read(cookie: string, audience: string, now: number): Promise<SignedIn | null> {
    const key = `${audience} ${cookie}`;
    let who = this.#read.get(key);
    if (who === undefined) {
      const payload = await this.seals.open("session", audience, cookie, now);
      who = (payload === null ? null : await readClaims(payload)) ?? undefined;
      if (who === undefined) return null;
      this.#read.set(key, who);
    }
    return this.isGood(who, now) ? who : null;
  }

  /** There are other keys: what was sealed with one that is gone is good no longer. */
  forget(): void {
    this.#read = new LruMap(1024);
  }

  isGood(who: SignedIn, now: number): boolean {
    return now < who.until && !this.isDenied(who) && this.#signedOut.get(who.id) === undefined;
  }

  isDenied({ voucherHash }: SignedIn): boolean {
    return this.parts.denied().hashes.has(voucherHash);
  }

  /** In all processes of this router, and of others that share its state. */
  signOut({ id }: SignedIn): void {
    this.signedOut(id);
    this.parts.tellSignedOut(id);
  }

  /** A session is over, as this process or another says. */
  signedOut(id: string): void {
    this.#signedOut.set(id, true);
  }

  hold(who: SignedIn, { expiryGraceMs }: Route, end: () => void): () => void {
    const held: Held = { who, graceMs: expiryGraceMs, end };
    this.#held.add(held);
    return () => this.#held.delete(held);
  }

  /** Ends what is under way for those whose sign-in has ended, or who are denied. */
  sweep(now: number): void {
    for (const held of this.#held) {
      if (this.isGood({ ...held.who, until: held.who.until + held.graceMs }, now)) continue;
      this.#held.delete(held);
      held.end();
    }
  }
}
