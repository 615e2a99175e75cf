import { checkPerson, SubjectError } from "../authority/subject.ts";
import { recorded } from "../core/record.ts";
import type { Route } from "../core/route.ts";
import type { Session } from "../core/session.ts";
import { EnrolmentRefusal } from "../enrolment/refusal.ts";
import { Refusal } from "../errors.ts";
import type { HttpFields, HttpRequest, HttpResponse } from "../http/exchange.ts";
import { maxCookie, pendingPrefix, sessionCookie, setCookie } from "../http/own-cookies.ts";
import { hostOf } from "../http/request.ts";
import { admittedBy } from "../identity/policy.ts";
import { sourceKey } from "../limits/source-key.ts";
import { failedPage, redirect } from "./pages.ts";
import { callbackPath } from "./paths.ts";
import { type Pending, readPending } from "./pending.ts";
import { newChallenge } from "./provider-client.ts";
import type { SignIn } from "./sign-in.ts";
import { claimsOf, type SignedIn, signedIn } from "./signed-in.ts";

/** For somebody to log in at the provider. */
const pendingMs = 10 * 60_000;

/** Logins under way in one browser: each has a cookie, and a request has room for so many. */
const maxPending = 6;

/** For attributes and the name of the cookie. */
const cookieRoom = maxCookie - 128;

/** Whom a state is for: whoever the provider sends browsers to. */
const callback = "callback";

/** What one request is about. */
export interface Visit {
  readonly request: HttpRequest;
  /** Host and port, in lower case. */
  readonly authority: string;
  readonly cookies: ReadonlyMap<string, string>;
  readonly query: URLSearchParams;
  readonly now: number;
}

/** What is known of a login that came back, for its record. */
interface Notes {
  readonly id: string;
  voucher: string | null;
  who: SignedIn | null;
}

/** A session is good on one route, at one name, for those whom its provider vouches for. */
export const audienceAt = ({ name, login }: Route, authority: string): string =>
  `${login} ${name} ${hostOf(authority)}`;

/** How browsers come to a session: to the provider, and back. */
export class Login {
  readonly #signIn: SignIn;
  readonly #session: Session;

  constructor(signIn: SignIn, session: Session) {
    this.#signIn = signIn;
    this.#session = session;
  }

  /** Sends the browser to the provider, with all that it needs to come back. */
  async begin({ authority, cookies, now }: Visit, to: string, choose = false): Promise<HttpResponse> {
    const { seals, parts, at } = this.#found();
    const port = /:\d+$/.exec(authority)?.[0] ?? "";
    const challenge = newChallenge(`https://${parts.host}${port}${callbackPath}`);
    const id = crypto.randomUUID();
    const until = now + pendingMs;
    const state = await seals.seal("state", callback, { jti: id, host: authority }, now, until);
    const pending = await seals.seal(
      "pending",
      audienceAt(this.#session.route, authority),
      { jti: id, to, ...challenge },
      now,
      until,
    );
    const others = [...cookies.keys()].filter((name) => name.startsWith(pendingPrefix));
    try {
      return redirect(await at.client.begin(challenge, state, choose), [
        setCookie(`${pendingPrefix}${id}`, pending, pendingMs / 1000),
        ...(others.length < maxPending ? [] : others.map((name) => setCookie(name, "", 0))),
      ]);
    } catch (error) {
      if (!(error instanceof EnrolmentRefusal)) throw error;
      this.#session.note(new Refusal("upstream_unreachable", error.message));
      return failedPage(503, error.message, [["retry-after", String(error.retryAfter ?? 10)]]);
    }
  }

  #found() {
    const { login } = this.#session.route;
    if (login === null) throw new TypeError("nobody signs in here");
    const { seals, parts } = this.#signIn;
    return { seals, parts, at: this.#signIn.at(login) };
  }

  /**
   * The provider has sent the browser back.
   *
   * @param central whether it does so here for all names: then the browser is sent on to where it began
   */
  async callback(visit: Visit, central: boolean): Promise<HttpResponse> {
    const { query, authority, now } = visit;
    const { seals } = this.#signIn;
    const text = query.getAll("state");
    const state = text.length === 1 ? await seals.open("state", callback, text[0] ?? "", now) : null;
    const { jti: id, host } = state ?? {};
    if (typeof id !== "string" || typeof host !== "string")
      return failedPage(400, "This login is not known here, or it took longer than ten minutes.", []);
    if (host !== authority) {
      if (!central) return failedPage(400, "This login began at another name.", []);
      const passed = ["code", "state", "iss", "error", "error_description"].flatMap((name) =>
        query.getAll(name).map((value): [string, string] => [name, value]),
      );
      return redirect(`https://${host}${callbackPath}?${new URLSearchParams(passed)}`);
    }
    if (this.#session.route.login === null) return failedPage(400, "Nobody signs in here.", []);
    return this.#finish(id, visit);
  }

  async #finish(id: string, visit: Visit): Promise<HttpResponse> {
    const { authority, now } = visit;
    const notes: Notes = { id, voucher: null, who: null };
    const name = `${pendingPrefix}${id}`;
    const over = setCookie(name, "", 0);
    try {
      const pending = await this.#take(id, visit);
      const cookie = await this.#complete(pending, visit, notes);
      this.#record(visit, notes, null);
      const { until = now } = notes.who ?? {};
      return redirect(`https://${authority}${pending.to}`, [
        setCookie(sessionCookie, cookie, Math.floor((until - now) / 1000)),
        over,
      ]);
    } catch (error) {
      const refusal = asRefusal(error);
      this.#record(visit, notes, refusal);
      const retry: HttpFields =
        refusal.retryAfter === null ? [] : [["retry-after", String(refusal.retryAfter)]];
      return failedPage(refusal.status, `${refusal.message}.`, [over, ...retry]);
    }
  }

  /** What this browser was given when it went to log in, once. Throws an `EnrolmentRefusal`. */
  async #take(id: string, { cookies, authority, now }: Visit): Promise<Pending> {
    const { seals, used, rate } = this.#signIn;
    await rate.take(sourceKey(this.#session.source.address), now);
    const cookie = cookies.get(`${pendingPrefix}${id}`);
    const sealed =
      cookie === undefined
        ? null
        : await seals.open("pending", audienceAt(this.#session.route, authority), cookie, now);
    const pending = sealed === null ? null : readPending(sealed);
    if (pending === null || pending.jti !== id)
      throw new EnrolmentRefusal("token_invalid", "this browser did not begin that login, or it is over");
    if (used.get(id) !== undefined) throw new EnrolmentRefusal("token_used", "that login came back before");
    used.set(id, true);
    return pending;
  }

  /** The session's cookie. Throws an `EnrolmentRefusal`, or a `SubjectError`. */
  async #complete(pending: Pending, { query, authority, now }: Visit, notes: Notes): Promise<string> {
    const { seals, parts, at } = this.#found();
    const { route } = this.#session;
    const token = await at.client.redeem(query, pending);
    // The provider may have taken its time.
    const then = Date.now();
    const { person, voucher, expires } = await parts.idTokens.verifyLogin(
      at.provider,
      token,
      pending.nonce,
      then,
    );
    notes.voucher = voucher;
    checkPerson(person);
    const until = Math.min(now + parts.lifetimeMs, expires);
    const who = await signedIn(notes.id, voucher, person, until);
    notes.who = who;
    if (until <= then) throw new EnrolmentRefusal("token_expired", "id_token: is at its end already");
    if (this.#signIn.isDenied(who))
      throw new EnrolmentRefusal("client_cert_revoked", `${who.identity.subject} is denied`);
    if (admittedBy(route.allow, who.identity) === null)
      throw new EnrolmentRefusal(
        "identity_not_allowed",
        `no allow rule of route ${route.name} admits ${who.identity.subject}`,
      );
    const claims = claimsOf(notes.id, voucher, person);
    const cookie = await seals.seal(
      "session",
      audienceAt(this.#session.route, authority),
      claims,
      now,
      until,
    );
    if (cookie.length <= cookieRoom) return cookie;
    throw new EnrolmentRefusal(
      "identity_not_allowed",
      `${who.identity.subject} has more groups than a cookie can hold: group_match= at the provider takes fewer`,
    );
  }

  #record({ authority, now }: Visit, { id, voucher, who }: Notes, refusal: EnrolmentRefusal | null): void {
    const { source, route } = this.#session;
    const { address, port } = source;
    const identity = who?.identity;
    this.#signIn.parts.audit({
      time: new Date(now).toISOString(),
      id,
      event: "login",
      outcome: refusal === null ? "served" : refusal.reason === "upstream_unreachable" ? "failed" : "refused",
      reason: refusal?.reason ?? "ok",
      source: `${address.includes(":") ? `[${address}]` : address}:${port}`,
      route: route.name,
      sni: hostOf(authority),
      provider: route.login ?? "",
      voucher,
      identity: identity === undefined ? null : recorded(identity),
      detail: refusal?.message ?? null,
    });
  }
}

function asRefusal(error: unknown): EnrolmentRefusal {
  if (error instanceof EnrolmentRefusal) return error;
  if (error instanceof SubjectError)
    return new EnrolmentRefusal("identity_not_allowed", `${error.member}: ${error.message}`);
  throw error;
}
