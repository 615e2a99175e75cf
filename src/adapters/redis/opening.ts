import { deadline } from "../../core/deadline.ts";
import { inspect } from "../../core/inspect.ts";
import { lingeringClose } from "../../core/linger.ts";
import type { Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import type { Connection } from "../../types.ts";
import { ok, type Parsed } from "../../wire/cursor.ts";
import { commandName, parseRequest, parseRequestHead, replyLine, request } from "../../wire/redis.ts";
import { firstDatabase, type RedisAccess } from "./access.ts";
import { type Claim, readAuth, readHello } from "./hello.ts";
import { dial, logIn } from "./login.ts";

/** A client that names so many users that it may not be is looking for something. */
const maxRefused = 16;

export interface Opened {
  readonly upstream: Connection;
  /** Whom the client asked to be, or is without asking. */
  readonly user: string;
}

/** The next command, where it says who the client is or all are to be seen; `null`: any other, not yet read. */
const parseOpening =
  (all: boolean) =>
  (bytes: Uint8Array): Parsed<readonly Uint8Array[] | null> => {
    const head = parseRequestHead(bytes);
    if (head.kind !== "ok") return head;
    const { value } = head;
    if (value.kind === "empty") return ok([], head.used);
    if (value.kind === "inline") return ok(value.args, head.used);
    return all || value.name === "auth" || value.name === "hello" ? parseRequest(bytes) : ok(null, 0);
  };

/** A session from its first command to the login at its upstream. */
export class Opening {
  readonly #session: Session;
  readonly #access: RedisAccess;
  readonly #client: Connection;
  #upstream: Connection | undefined;
  #refused = 0;
  #late = false;

  constructor(session: Session, access: RedisAccess) {
    this.#session = session;
    this.#access = access;
    this.#client = session.client;
  }

  /** `null`: the client went without asking for anything. Throws a `Refusal`, of which the client has heard. */
  async run(): Promise<Opened | null> {
    const { idleTimeoutMs } = this.#session.route;
    const late = deadline(idleTimeoutMs, () => {
      this.#late = true;
      this.#client.abort();
      this.#upstream?.abort();
    });
    let opened: Opened | null = null;
    try {
      if (this.#access.database === null)
        throw new Refusal("identity_not_allowed", this.#access.databaseRefused(firstDatabase));
      opened = await this.#listen();
      return opened;
    } catch (error) {
      if (this.#late) throw new Refusal("idle_timeout", "the client did not say who it is", { cause: error });
      if (error instanceof Refusal) await lingeringClose(this.#client, replyLine(errorOf(error)));
      throw error;
    } finally {
      late.cancel();
      if (opened === null) this.#upstream?.abort();
    }
  }

  async #listen(): Promise<Opened | null> {
    const { implied } = this.#access;
    const parse = parseOpening(implied === null);
    for (;;) {
      const next = await inspect(this.#client, parse);
      if (next.kind === "closed") return null;
      if (next.kind === "no") throw new Refusal("protocol_error", next.detail);
      const { value: args, used, head } = next;
      const [first] = args ?? [];
      const name = first === undefined ? "" : commandName(first);
      if (args !== null && first === undefined) {
        this.#client.unread(head.subarray(used));
        continue;
      }
      const hello = args !== null && name === "hello" ? readHello(args) : null;
      const claim = args !== null && name === "auth" ? readAuth(args) : (hello?.claim ?? null);
      if (claim !== null) {
        this.#client.unread(head.subarray(used));
        const opened = await this.#claimed(claim);
        if (opened === null) continue;
        if (hello === null) await this.#client.write(replyLine("+OK"));
        else this.#client.unread(request(hello.without));
        return opened;
      }
      if (implied !== null && name !== "auth" && (name !== "hello" || hello !== null)) {
        this.#client.unread(head);
        return this.#open(implied, null);
      }
      this.#client.unread(head.subarray(used));
      if (name === "quit") {
        await this.#client.write(replyLine("+OK"));
        return null;
      }
      await this.#client.write(replyLine(this.#unheard(name, hello !== null)));
    }
  }

  /** Why a command goes no further that says nothing of who the client is. */
  #unheard(name: string, sound: boolean): string {
    if (name === "auth") return "-ERR wrong number of arguments for 'auth' command";
    if (name === "hello" && !sound) return "-ERR Syntax error in HELLO";
    return `-NOAUTH sallyport: ${this.#access.userMissing}`;
  }

  /** `null`: the client may try again, and knows why. */
  async #claimed({ user: asked, words }: Claim): Promise<Opened | null> {
    const access = this.#access;
    const named = asked ?? (access.logsIn ? access.implied : "default");
    const user = named === null ? null : access.meant(named);
    if (user !== null) return this.#open(user, access.logsIn ? null : words, true);
    const why = named === null ? access.userMissing : access.userRefused(named === "\0" ? null : named);
    const refusal = new Refusal("identity_not_allowed", why);
    this.#report(named, "WRONGPASS");
    if (++this.#refused >= maxRefused) throw refusal;
    this.#session.note(refusal);
    await this.#client.write(replyLine(`-WRONGPASS sallyport: ${why}`));
    return null;
  }

  /** @param claimed whether the client said who it is */
  async #open(user: string, words: Claim["words"] | null, claimed = false): Promise<Opened | null> {
    const access = this.#access;
    const upstreamUser = access.upstreamUser(user);
    const upstream = this.#upstream ?? (await dial(this.#session, upstreamUser));
    this.#upstream = upstream;
    const refused = await logIn(this.#session, access, upstream, user, words);
    if (refused !== null) {
      if (claimed) this.#report(user, /^\S+/.exec(refused)?.[0] ?? "ERR");
      if (words === null)
        throw new Refusal("upstream_refused", `the upstream refused the router's login: ${refused}`);
      await this.#client.write(replyLine(`-${refused}`));
      return null;
    }
    this.#session.opened({
      user: upstreamUser,
      ...(user === upstreamUser ? {} : { askedUser: user }),
      name: access.database,
    });
    if (claimed) this.#report(user, null);
    return { upstream, user };
  }

  #report(user: string | null, error: string | null): void {
    this.#session.statement({ text: `AUTH ${user ?? ""}`.trim(), error, rows: null, durationMs: 0 });
  }
}

/** What a client hears of why it can't be served. */
export const errorOf = ({ reason, message }: Refusal): string => {
  switch (reason) {
    case "client_cert_missing":
      return `-NOAUTH sallyport: ${message}`;
    case "protocol_error":
      return `-ERR Protocol error: sallyport: ${message}`;
    case "upstream_unreachable":
      return "-ERR sallyport: the upstream can't be reached";
    case "upstream_refused":
      return `-ERR sallyport: ${message}`;
    default:
      return `-NOPERM sallyport: ${message}`;
  }
};
