import type { Gate, Judgement, Visitor } from "../core/gate.ts";
import type { Session } from "../core/session.ts";
import { Refusal } from "../errors.ts";
import { isForgeable, isNavigation } from "../http/browser-request.ts";
import type { HttpRequest, HttpResponse } from "../http/exchange.ts";
import { ownCookies, sessionCookie, setCookie } from "../http/own-cookies.ts";
import { problem } from "../http/problem.ts";
import type { Asked } from "../http/request.ts";
import { admittedBy } from "../identity/policy.ts";
import { audienceAt, Login, type Visit } from "./login.ts";
import { methodNotAllowed, refusedPage, signedOutPage, signOutPage } from "./pages.ts";
import { callbackPath, ownFolder, returnPath, signInPath, signOutPath } from "./paths.ts";
import type { SignIn } from "./sign-in.ts";
import type { SignedIn } from "./signed-in.ts";

const foreign = new Refusal(
  "source_not_allowed",
  "expected Origin to say that a page of this very origin asks",
);
const unknown = new Refusal(
  "client_cert_missing",
  "sign in with a browser first, or show a client certificate",
);

const answered = ({ method }: HttpRequest, answer: HttpResponse): Judgement => ({
  answer: method === "HEAD" ? { ...answer, body: null } : answer,
});

/** The requests of one connection, on a route with `login=` or at the router's own name. */
export class RouteGate implements Gate {
  readonly #signIn: SignIn;
  readonly #session: Session;
  readonly #login: Login;

  constructor(signIn: SignIn, session: Session) {
    this.#signIn = signIn;
    this.#session = session;
    this.#login = new Login(signIn, session);
  }

  /** The router's own pages are open to all; whoever signs in is somebody. */
  get #isOpen(): boolean {
    return this.#session.route.upstream === null;
  }

  async judge(request: HttpRequest, asked: Asked, switches: boolean): Promise<Judgement> {
    const [path = "", query = ""] = asked.target.split(/\?(.*)/s);
    const visit: Visit = {
      request,
      authority: asked.authority.toLowerCase(),
      cookies: ownCookies(request.fields),
      query: new URLSearchParams(query),
      now: Date.now(),
    };
    if (path.startsWith(ownFolder)) {
      const answer = await this.#ownPage(path, visit);
      if (answer !== null) return answered(request, answer);
    }
    const { identity, route } = this.#session;
    if (identity !== null || route.login === null) return { visitor: null };
    const who = await this.#whoIs(visit);
    const forgeable = isForgeable(request, switches, `https://${visit.authority}`);
    if (this.#isOpen) return { visitor: who === null || forgeable ? null : this.#letIn(who) };
    const navigates = isNavigation(request) && !switches;
    if (who === null) {
      return navigates
        ? answered(request, await this.#login.begin(visit, returnPath(asked.target)))
        : this.#refuse(request, 401, unknown);
    }
    if (forgeable) return this.#refuse(request, 403, foreign);
    if (admittedBy(route.allow, who.identity) !== null) return { visitor: this.#letIn(who) };
    const words = `no allow rule of route ${route.name} admits ${who.identity.subject}`;
    const refused = this.#refuse(request, 403, new Refusal("identity_not_allowed", words));
    return navigates ? answered(request, refusedPage(words)) : refused;
  }

  #letIn(who: SignedIn): Visitor {
    this.#session.signedIn(who.identity, who.id);
    const { route } = this.#session;
    return { identity: who.identity, hold: (end) => this.#signIn.hold(who, route, end) };
  }

  #refuse(request: HttpRequest, status: number, refusal: Refusal): Judgement {
    this.#session.note(refusal);
    return answered(request, problem(status, refusal.reason, refusal.message));
  }

  async #whoIs({ cookies, authority, now }: Visit): Promise<SignedIn | null> {
    const cookie = cookies.get(sessionCookie);
    if (cookie === undefined) return null;
    return this.#signIn.read(cookie, audienceAt(this.#session.route, authority), now);
  }

  /** `null` where it is none of ours. */
  async #ownPage(path: string, visit: Visit): Promise<HttpResponse | null> {
    const { login } = this.#session.route;
    const { method } = visit.request;
    if (path === callbackPath)
      return method === "GET" ? this.#login.callback(visit, this.#isOpen) : methodNotAllowed("GET");
    if (login !== null && path === signInPath) {
      if (method !== "GET" && method !== "HEAD") return methodNotAllowed("GET, HEAD");
      return this.#login.begin(visit, returnPath(visit.query.get("to")), true);
    }
    if (login !== null && path === signOutPath) return this.#signOut(visit);
    return this.#isOpen ? null : problem(404, "not_found", `nothing at ${path}`);
  }

  async #signOut(visit: Visit): Promise<HttpResponse> {
    const { method } = visit.request;
    if (method === "GET" || method === "HEAD") return signOutPage();
    if (method !== "POST") return methodNotAllowed("GET, HEAD, POST");
    if (isForgeable(visit.request, false, `https://${visit.authority}`))
      return problem(403, foreign.reason, foreign.message);
    const who = await this.#whoIs(visit);
    if (who !== null) this.#signIn.signOut(who);
    return signedOutPage([setCookie(sessionCookie, "", 0)]);
  }
}
