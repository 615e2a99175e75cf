import { Refusal } from "../../errors.ts";
import { argumentText, commandName, replyLine, request } from "../../wire/redis.ts";
import { firstDatabase, type RedisAccess } from "./access.ts";
import { type Claim, readAuth, readHello } from "./hello.ts";
import type { Marks } from "./marks.ts";

/**
 * What reaches other databases than the one selected: their numbers are no walls to scripts, to what copies or clears
 * a whole server, or to who watches it.
 */
const beyondDatabases = [
  ...["eval", "eval_ro", "evalsha", "evalsha_ro", "fcall", "fcall_ro"],
  ...["flushall", "migrate", "monitor", "sync", "psync", "replicaof", "slaveof", "debug"],
];
const choosingDatabases = ["select", "move", "copy", "swapdb"];

/** After these, replies can't be told apart, or there are none. */
const unaccountable = ["sync", "psync"];

/** The rules of one session for its commands. */
export class Rules {
  readonly #access: RedisAccess;
  readonly #user: string;
  readonly #marks: Marks;
  readonly #note: (refusal: Refusal) => void;
  readonly #concerns: ReadonlySet<string>;
  readonly #resets: boolean;

  /** @param user whom the client asked to be */
  constructor(access: RedisAccess, user: string, marks: Marks, note: (refusal: Refusal) => void) {
    this.#access = access;
    this.#user = user;
    this.#marks = marks;
    this.#note = note;
    this.#resets = !access.logsIn && access.admits("default") && access.admitsDatabase(firstDatabase);
    this.#concerns = new Set([
      ...["auth", "hello", "reset"],
      ...(access.limitsDatabases ? [...choosingDatabases, ...beyondDatabases] : []),
      ...(access.audits ? ["client", ...unaccountable] : []),
    ]);
  }

  concerns(name: string): boolean {
    return this.#concerns.has(name);
  }

  judge(args: readonly Uint8Array[]): Uint8Array | null {
    const [first = new Uint8Array(0)] = args;
    const name = commandName(first);
    const shown = name.toUpperCase();
    switch (name) {
      case "auth":
        return this.#auth(args);
      case "hello":
        return this.#hello(args);
      case "reset":
        if (this.#resets) return null;
        return this.#unavailable("NOPERM", "RESET would log this session out: open a new connection instead");
      case "client":
        return this.#client(args);
    }
    if (choosingDatabases.includes(name)) return this.#database(name, args);
    if (this.#access.audits && unaccountable.includes(name))
      return this.#unavailable("NOPERM", `${shown} is not available where statements are written down`);
    return this.#forbid("NOPERM", `${shown} reaches every database, and not all are open to you here`);
  }

  #auth(args: readonly Uint8Array[]): Uint8Array | null {
    const claim = readAuth(args);
    if (this.#access.logsIn) {
      if (claim === null) return this.#answer("-ERR wrong number of arguments for 'auth' command");
      return this.#is(claim) ? this.#answer("+OK") : this.#stranger(claim);
    }
    return claim === null || this.#access.admits(claim.user ?? "default") ? null : this.#stranger(claim);
  }

  #hello(args: readonly Uint8Array[]): Uint8Array | null {
    const hello = readHello(args);
    // Servers differ in what they do with one that goes wrong half way.
    if (hello === null) return this.#answer("-ERR Syntax error in HELLO");
    const { claim, without } = hello;
    if (claim === null) return null;
    if (this.#access.logsIn) return this.#is(claim) ? request(without) : this.#stranger(claim);
    return this.#access.admits(claim.user ?? "default") ? null : this.#stranger(claim);
  }

  /** Whether a client that is logged in says no more than that, or what makes no difference to the upstream. */
  #is({ user }: Claim): boolean {
    if (user === null) return true;
    const meant = this.#access.meant(user);
    if (meant === null || meant === this.#user) return meant !== null;
    return this.#access.upstreamUser(meant) === this.#access.upstreamUser(this.#user);
  }

  #stranger({ user }: Claim): Uint8Array {
    const asked = user ?? "default";
    const why = this.#access.admits(asked)
      ? `this session is ${this.#user}'s; open a new connection to be ${asked}`
      : this.#access.userRefused(asked === "\0" ? null : asked);
    return this.#forbid("WRONGPASS", why);
  }

  #client(args: readonly Uint8Array[]): Uint8Array | null {
    const words = args.slice(1, 3).map(commandName);
    if (words[0] !== "reply" || !["off", "skip"].includes(words[1] ?? "")) return null;
    return this.#unavailable("NOPERM", "replies can't be left out where statements are written down");
  }

  #database(name: string, args: readonly Uint8Array[]): Uint8Array | null {
    for (const bytes of databasesIn(name, args)) {
      const number = argumentText(bytes);
      if (number !== null && this.#access.admitsDatabase(number)) continue;
      const why = this.#access.databaseRefused(number);
      return this.#forbid("NOPERM", why);
    }
    return null;
  }

  #answer(line: string): Uint8Array {
    return this.#marks.mark(replyLine(line));
  }

  /** What the record says too. */
  #forbid(code: string, why: string): Uint8Array {
    this.#note(new Refusal("identity_not_allowed", why));
    return this.#unavailable(code, why);
  }

  #unavailable(code: string, why: string): Uint8Array {
    return this.#answer(`-${code} sallyport: ${why}`);
  }
}

/** The arguments that a server may read as numbers of databases. */
function databasesIn(name: string, args: readonly Uint8Array[]): readonly Uint8Array[] {
  switch (name) {
    case "select":
      return args.slice(1, 2);
    case "swapdb":
      return args.slice(1, 3);
    case "move":
      return args.slice(2, 3);
    default:
      return args.filter((_, at) => at > 3 && commandName(args[at - 1] ?? new Uint8Array(0)) === "db");
  }
}
