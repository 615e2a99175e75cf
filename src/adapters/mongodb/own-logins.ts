import type { Session } from "../../core/session.ts";
import { numberOf } from "../../wire/bson.ts";
import { type Replied, ReplyReader } from "../../wire/mongodb-replies.ts";
import type { Asked } from "./requests.ts";

/** So many may be under way at once: more than that is no client. */
const maxWaiting = 16;

interface Waiting {
  readonly command: string;
  readonly user: string;
  /** Whether an answer to a `hello` that speaks of it at all says that it is over. */
  readonly atOnce: boolean;
}

/** Clients that log in themselves: the record has who they are once the upstream has let them in. */
export class OwnLogins {
  readonly #session: Session;
  /** By the number of the request. */
  readonly #waiting = new Map<number, Waiting>();
  /** Who an exchange that was begun is about: a connection has one at a time. */
  #user: string | null = null;
  #reader: ReplyReader | null = null;

  constructor(session: Session) {
    this.#session = session;
  }

  /** Whether one more can be followed. */
  get room(): boolean {
    return this.#waiting.size < maxWaiting;
  }

  /** A login is on its way. */
  asked({ header, name }: Asked, user: string, mechanism: string): void {
    this.#user = user;
    this.#waiting.set(header.requestId, { command: name, user, atOnce: mechanism === "MONGODB-X509" });
  }

  /** The next part of one is. */
  goesOn({ header, name }: Asked): void {
    if (this.#user !== null)
      this.#waiting.set(header.requestId, { command: name, user: this.#user, atOnce: false });
  }

  /**
   * What the upstream answers; looked at while a login is under way and no longer.
   *
   * @param place where the first message in it begins, or the one under way ends; `null`: nowhere
   */
  replies(chunk: Uint8Array, place: number | null): void {
    if (this.#reader !== null) this.#reader.push(chunk);
    else if (this.#waiting.size > 0 && place !== null) {
      this.#reader = new ReplyReader((reply) => this.#replied(reply));
      this.#reader.push(chunk.subarray(place));
    }
  }

  #replied({ responseTo, fields }: Replied): void {
    const one = this.#waiting.get(responseTo);
    if (one !== undefined) {
      this.#waiting.delete(responseTo);
      if (numberOf(fields.get("ok")) === 1 && isOver(one, fields))
        this.#session.opened({ user: one.user, name: null });
    }
    if (this.#waiting.size === 0) this.#reader = null;
  }
}

function isOver({ command, atOnce }: Waiting, fields: Replied["fields"]): boolean {
  if (command === "authenticate") return true;
  if (command === "saslStart" || command === "saslContinue") return numberOf(fields.get("done")) === 1;
  return atOnce && fields.has("speculativeAuthenticate");
}
