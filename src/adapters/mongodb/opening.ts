import { deadline } from "../../core/deadline.ts";
import { type Inspected, inspect } from "../../core/inspect.ts";
import { lingeringClose } from "../../core/linger.ts";
import type { Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type { Connection } from "../../types.ts";
import type { MongodbAccess } from "./access.ts";
import { authenticatedReply, type CodeName, type Refused, refusedReply } from "./answers.ts";
import { readClaim } from "./claim.ts";
import { heldHello, helloNames, isWatching } from "./hello.ts";
import { bounded, logIn, nextReply } from "./login.ts";
import { type Asked, parseAsked } from "./requests.ts";
import { needlessPassword } from "./rules.ts";

/** A client that names so many users that it may not be is looking for something. */
const maxRefused = 16;

export interface Opened {
  readonly upstream: Connection;
  /** Whom the client asked to be, or is without asking; `null`: it watches the server, and nobody is logged in. */
  readonly user: string | null;
}

/** A session up to the router's login for it. */
export class Opening {
  readonly #session: Session;
  readonly #access: MongodbAccess;
  readonly #client: Connection;
  #upstream: Connection | undefined;
  /** For whom the connection to the upstream has a certificate. */
  #minted: string | undefined;
  #asked: Asked | null = null;
  #refused = 0;
  #late = false;

  constructor(session: Session, access: MongodbAccess) {
    this.#session = session;
    this.#access = access;
    this.#client = session.client;
  }

  /** `null`: the client went without asking for anything. Throws a `Refusal`, of which the client has heard. */
  async run(): Promise<Opened | null> {
    let opened: Opened | null = null;
    try {
      opened = await this.#listen();
      return opened;
    } catch (error) {
      if (this.#late)
        throw new Refusal("idle_timeout", "the client said nothing for too long", { cause: error });
      if (error instanceof Refusal) await this.#tell(error);
      throw error;
    } finally {
      if (opened === null) this.#upstream?.abort();
    }
  }

  /** The next message of the client's, which it must not be long about. */
  async #next(): Promise<Inspected<Asked | null>> {
    const late = deadline(this.#session.route.idleTimeoutMs, () => {
      this.#late = true;
      this.#client.abort();
    });
    try {
      return await inspect(this.#client, (bytes) => parseAsked(bytes, () => true));
    } finally {
      late.cancel();
    }
  }

  async #listen(): Promise<Opened | null> {
    for (;;) {
      const next = await this.#next();
      if (next.kind === "closed") return null;
      if (next.kind === "no" || next.value === null)
        throw new Refusal("protocol_error", next.kind === "no" ? next.detail : "no command");
      const { value: asked, head } = next;
      this.#asked = asked;
      const { name, body } = asked;
      if (helloNames.has(name)) {
        if (isWatching(body)) {
          this.#client.unread(head);
          return { upstream: await this.#connected(), user: null };
        }
        this.#client.unread(head.subarray(asked.header.length));
        await this.#greeted(asked);
        continue;
      }
      const claims = name === "authenticate" || name === "saslStart";
      const user = claims ? this.#claimed(asked) : this.#access.implied;
      if (typeof user === "string") {
        this.#client.unread(claims ? head.subarray(asked.header.length) : head);
        const opened = await this.#open(user);
        if (claims) await this.#client.write(authenticatedReply(asked.header, name, user));
        return opened;
      }
      const refused: Refused = user ?? { codeName: "Unauthorized", why: this.#access.userMissing };
      this.#client.unread(head.subarray(asked.header.length));
      await this.#refuse(asked, refused);
    }
  }

  /** What the upstream says of itself, which may be known before any login. */
  async #greeted(asked: Asked): Promise<void> {
    const upstream = await this.#connected();
    const reply = await bounded(upstream, async () => {
      await upstream.write(asked.with(heldHello(asked.body, this.#access)));
      return nextReply(upstream);
    });
    await this.#client.write(reply);
  }

  /** Whom the client is by what it says, or why not. */
  #claimed({ name, body }: Asked): string | Refused | null {
    const claim = readClaim(name, body);
    const needless = needlessPassword(claim);
    if (needless !== null) return needless;
    const user = claim.user ?? (claim.user === null ? this.#access.implied : null);
    if (user === null && claim.user === null) return null;
    if (user !== null && this.#access.admits(user)) return user;
    return { codeName: "AuthenticationFailed", why: this.#access.userRefused(user) };
  }

  async #refuse(asked: Asked, refused: Refused): Promise<void> {
    if (refused.codeName === "AuthenticationFailed") {
      const refusal = new Refusal("identity_not_allowed", refused.why);
      if (++this.#refused >= maxRefused) throw refusal;
      this.#session.note(refusal);
    }
    if (asked.answered) await this.#client.write(refusedReply(asked.header, refused));
  }

  /** A connection to the upstream; with a certificate for this user, where one is to be made for it. */
  async #connected(user: string | null = this.#access.implied): Promise<Connection> {
    const mints = this.#session.route.upstream?.credentials?.minted === true && user !== null;
    const minted = mints ? this.#access.upstreamUser(user) : undefined;
    if (this.#upstream !== undefined && this.#minted === minted) return this.#upstream;
    this.#upstream?.abort();
    if (minted === undefined) this.#upstream = await this.#session.dial();
    else {
      const certificate = await this.#session.mint(minted);
      this.#upstream = await this.#session.secure(await this.#session.dialPlain(), { certificate });
    }
    this.#minted = minted;
    return this.#upstream;
  }

  async #open(user: string): Promise<Opened> {
    const upstream = await this.#connected(user);
    const upstreamUser = this.#access.upstreamUser(user);
    await logIn(this.#session, upstream, upstreamUser);
    this.#session.opened({
      user: upstreamUser,
      ...(user === upstreamUser ? {} : { askedUser: user }),
      name: null,
    });
    return { upstream, user };
  }

  /** The last word, in answer to what was asked last. */
  async #tell(refusal: Refusal): Promise<void> {
    const reply =
      this.#asked?.answered === true ? refusedReply(this.#asked.header, told(refusal)) : undefined;
    await lingeringClose(this.#client, reply);
  }
}

const codeNames: Partial<Record<Refusal["reason"], CodeName>> = {
  upstream_unreachable: "HostUnreachable",
  protocol_error: "ProtocolError",
  upstream_refused: "AuthenticationFailed",
};

/** What a client hears of why it can't be served. */
export const told = ({ reason, message }: Refusal): Refused => ({
  codeName: codeNames[reason] ?? "Unauthorized",
  why: reason === "upstream_unreachable" ? "the upstream can't be reached" : message,
});
