import type { Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import { joined } from "../../wire/joined.ts";
import { WrappedConnection } from "../wrapped.ts";
import type { MongodbAccess } from "./access.ts";
import { Boundaries } from "./boundaries.ts";
import { Requests } from "./requests.ts";
import { Rules } from "./rules.ts";
import { Statements } from "./statements.ts";

/** So many answers of ours may wait for the end of one of the upstream's: more than that is no client. */
const maxWaiting = 256;

/** A client whose commands are followed on their way upstream; of what it gets no more than where messages end. */
export class GovernedClient extends WrappedConnection {
  readonly #requests: Requests;
  readonly #boundaries = new Boundaries();
  readonly #statements: Statements | null;
  /** Answers of ours that wait for the end of a message. */
  #waiting: Uint8Array[] = [];
  #writing: Promise<void> = Promise.resolve();
  #refusal: Refusal | null = null;

  /** @param user whom the client asked to be */
  constructor(session: Session, access: MongodbAccess, user: string | null) {
    super(session.client);
    this.#statements = access.audits ? new Statements((statement) => session.statement(statement)) : null;
    const rules = new Rules(access, user, session, this.#statements?.heard ?? null);
    this.#requests = new Requests(rules);
  }

  /** Why it was ended, if it was. */
  get refusal(): Refusal | null {
    return this.#refusal;
  }

  override async read(): Promise<Uint8Array | null> {
    for (;;) {
      if (this.#refusal !== null) return null;
      await this.#statements?.room();
      const chunk = await this.inner.read();
      if (chunk === null) return null;
      const { bytes, answers, problem } = this.#requests.push(chunk);
      this.#waiting.push(...answers);
      if (this.#boundaries.between) await this.#answer();
      const wrong = problem ?? (this.#waiting.length > maxWaiting ? "too much that is refused" : null);
      // There is no way to say so: what is wrong may be no request that could be answered.
      if (wrong !== null) this.#refusal = new Refusal("protocol_error", wrong);
      if (bytes.length > 0) return bytes;
    }
  }

  override async write(chunk: Uint8Array): Promise<void> {
    let place: number | null;
    try {
      place = this.#boundaries.push(chunk);
      this.#statements?.replies(chunk);
    } catch (error) {
      this.#refusal ??= new Refusal("upstream_refused", "the upstream does not speak as MongoDB does", {
        cause: error,
      });
      throw error;
    }
    if (place === null || this.#waiting.length === 0) return this.#send(chunk);
    const answers = this.#waiting;
    this.#waiting = [];
    await this.#send(joined([chunk.subarray(0, place), ...answers, chunk.subarray(place)]));
  }

  #answer(): Promise<void> {
    if (this.#waiting.length === 0) return Promise.resolve();
    const answers = joined(this.#waiting);
    this.#waiting = [];
    return this.#send(answers);
  }

  /** One after the other: both directions write to the client. */
  #send(bytes: Uint8Array): Promise<void> {
    const sent = this.#writing.then(() => this.inner.write(bytes));
    this.#writing = sent.catch(() => {});
    return sent;
  }

  override async closeWrite(): Promise<void> {
    this.#statements?.over();
    await this.#writing;
    await this.inner.closeWrite();
  }

  override abort(how?: "close" | "reset"): void {
    this.#statements?.over();
    this.inner.abort(how);
  }
}
