import type { Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import { type Element, textOf } from "../../wire/bson.ts";
import type { MongodbAccess } from "./access.ts";
import { authenticatedReply, type Refused, refusedReply } from "./answers.ts";
import { aheadClaim, type Claim, readClaim } from "./claim.ts";
import { foreignDatabase } from "./databases.ts";
import { heldHello, helloNames } from "./hello.ts";
import type { OwnLogins } from "./own-logins.ts";
import type { Asked, Verdict } from "./requests.ts";

const logins: ReadonlySet<string> = new Set(["authenticate", "saslStart"]);
const loginEnds: ReadonlySet<string> = new Set(["saslContinue", "logout"]);
/** What may be asked by whoever watches a server, before any login. */
const anonymous: ReadonlySet<string> = new Set(["ping", "buildInfo", "buildinfo", "endSessions"]);

export interface Heard {
  readonly asked: Asked;
  readonly verdict: Verdict;
  /** The code of an error of ours. */
  readonly refused: string | null;
}

/** The rules of one session for its commands. */
export class Rules {
  readonly #access: MongodbAccess;
  /** Whom the client asked to be; `null` where nobody is logged in. */
  readonly #user: string | null;
  readonly #session: Session;
  /** Of clients that log in themselves; `null` where the router does. */
  readonly #logins: OwnLogins | null;
  readonly #heard: ((heard: Heard) => void) | null;

  constructor(
    access: MongodbAccess,
    user: string | null,
    session: Session,
    logins: OwnLogins | null,
    heard: ((heard: Heard) => void) | null,
  ) {
    this.#access = access;
    this.#user = user;
    this.#session = session;
    this.#logins = logins;
    this.#heard = heard;
  }

  concerns(name: string): boolean {
    if (this.#heard !== null || this.#access.limitsDatabases || (this.#access.logsIn && this.#user === null))
      return true;
    return helloNames.has(name) || logins.has(name) || loginEnds.has(name);
  }

  judge(asked: Asked): Verdict {
    const refused = this.#refused(asked);
    const verdict: Verdict =
      refused === null
        ? this.#admitted(asked)
        : { kind: "answer", message: asked.answered ? refusedReply(asked.header, refused) : null };
    this.#heard?.({ asked, verdict, refused: refused?.codeName ?? null });
    return verdict;
  }

  #refused(asked: Asked): Refused | null {
    const { name, old } = asked;
    if (helloNames.has(name)) return null;
    if (old) return { codeName: "CommandNotFound", why: "only hello is asked in an OP_QUERY" };
    if (logins.has(name)) return this.#login(asked);
    if (loginEnds.has(name)) return this.#goesOn(asked);
    if (this.#access.logsIn && this.#user === null && !anonymous.has(name))
      return { codeName: "Unauthorized", why: "this connection watches the server; use another" };
    const why = foreignDatabase(asked, this.#access);
    return why === null ? null : this.#forbid({ codeName: "Unauthorized", why });
  }

  #login(asked: Asked): Refused | null {
    const claim = readClaim(asked.name, asked.body);
    if (this.#logins === null) return this.#is(claim);
    const { user } = claim;
    if (!this.#access.limitsUsers || (typeof user === "string" && this.#access.admits(user)))
      return this.#follow(asked, this.#logins, () => this.#claimed(asked, claim));
    return this.#forbid({ codeName: "AuthenticationFailed", why: this.#access.userRefused(user ?? null) });
  }

  #goesOn(asked: Asked): Refused | null {
    const own = this.#logins;
    if (own === null)
      return { codeName: "AuthenticationFailed", why: "this session's login is the router's" };
    return asked.name === "logout" ? null : this.#follow(asked, own, () => own.goesOn(asked));
  }

  /** A login whose answer could not be told would be in no record. */
  #follow(asked: Asked, own: OwnLogins, follow: () => void): Refused | null {
    if (!asked.answered || !own.room)
      return { codeName: "ProtocolError", why: "a login waits for its answer" };
    follow();
    return null;
  }

  #claimed(asked: Asked, { user, mechanism }: Claim): void {
    if (typeof user === "string") this.#logins?.asked(asked, user, mechanism);
  }

  /** Why a client can't be who it says where it is somebody already; `null`: it says no more than that. */
  #is(claim: Claim): Refused | null {
    const needless = needlessPassword(claim);
    if (needless !== null) return needless;
    if (this.#user !== null && this.#same(claim.user, this.#user)) return null;
    const why = `this session is ${this.#user ?? "nobody"}'s; open a new connection to be somebody else`;
    return this.#forbid({ codeName: "AuthenticationFailed", why });
  }

  /** Whether it makes no difference to the upstream which of the two a client is. */
  #same(user: string | null | undefined, other: string): boolean {
    if (user === null || user === other) return true;
    if (user === undefined || !this.#access.admits(user)) return false;
    return this.#access.upstreamUser(user) === this.#access.upstreamUser(other);
  }

  #forbid(refused: Refused): Refused {
    this.#session.note(new Refusal("identity_not_allowed", refused.why));
    return refused;
  }

  #admitted(asked: Asked): Verdict {
    const { name, header, body } = asked;
    if (helloNames.has(name)) {
      const held = heldHello(body, this.#access);
      const ahead = held.find((element) => element.name === "speculativeAuthenticate");
      if (ahead === undefined) return { kind: "instead", message: asked.with(held) };
      const claim = aheadClaim(ahead);
      if (claim === null || this.#logins?.room !== true)
        return { kind: "instead", message: asked.with(held.filter((element) => element !== ahead)) };
      this.#claimed(asked, claim);
      return { kind: "instead", message: asked.with(held) };
    }
    if (logins.has(name) && this.#access.logsIn)
      return { kind: "answer", message: authenticatedReply(header, name, this.#user ?? "") };
    return { kind: "pass" };
  }
}

/** Why a password can't be proved to us; `null`: nobody asks for that. */
export function needlessPassword({ mechanism, user }: Claim): Refused | null {
  if (mechanism === "MONGODB-X509" || (mechanism === "PLAIN" && user !== undefined)) return null;
  const why = `no password is needed, and ${mechanism || "this"} can't be answered without one: use authMechanism=MONGODB-X509, or name no user`;
  return { codeName: "AuthenticationFailed", why };
}

/** `find orders.items`: a command, its database and its collection. */
export function statementText(name: string, body: readonly Element[]): string {
  const database = textOf(body.find((one) => one.name === "$db"));
  const collection = textOf(body[0]) ?? textOf(body.find((one) => one.name === "collection"));
  const place = [database, collection].filter((part) => part !== null && part !== "").join(".");
  return place === "" ? name : `${name} ${place}`;
}
