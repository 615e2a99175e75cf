import { type Deadline, deadline } from "../../core/deadline.ts";
import type { Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import { joined } from "../../wire/joined.ts";
import { replyLine } from "../../wire/redis.ts";
import { WrappedConnection } from "../wrapped.ts";
import type { RedisAccess } from "./access.ts";
import { Marks } from "./marks.ts";
import { Requests } from "./requests.ts";
import { Rules } from "./rules.ts";
import { Statements } from "./statements.ts";

/** How long the upstream may take to say what came before the end. */
const lastWordsMs = 10_000;

/** A client whose commands are followed on their way upstream; what it gets is not, as long as nobody asks for it. */
export class GovernedClient extends WrappedConnection {
  readonly #marks = new Marks();
  readonly #requests: Requests;
  readonly #statements: Statements | null;
  /** Set once there is nothing more to read from it. */
  #refusal: Refusal | null = null;
  #late: Deadline | undefined;
  #said: (() => void) | undefined;

  /** @param user whom the client asked to be */
  constructor(session: Session, access: RedisAccess, user: string) {
    super(session.client);
    this.#statements = access.audits ? new Statements((statement) => session.statement(statement)) : null;
    const rules = new Rules(access, user, this.#marks, (refusal) => session.note(refusal));
    this.#requests = new Requests({
      concerns: (name) => rules.concerns(name),
      judge: (args) => rules.judge(args),
      heard: this.#statements?.heard ?? null,
    });
  }

  /** Why it was ended, if it was. */
  get refusal(): Refusal | null {
    return this.#refusal;
  }

  override async read(): Promise<Uint8Array | null> {
    for (;;) {
      if (this.#refusal !== null) {
        await this.#lastWords();
        return null;
      }
      await this.#statements?.room();
      const chunk = await this.inner.read();
      if (chunk === null) return null;
      const { bytes, problem } = this.#requests.push(chunk);
      const wrong = problem ?? (this.#marks.tooMany ? "too much that is refused" : null);
      if (wrong !== null) {
        this.#refusal = new Refusal("protocol_error", wrong);
        return joined([bytes, this.#marks.mark(replyLine(`-ERR Protocol error: sallyport: ${wrong}`))]);
      }
      if (bytes.length > 0) return bytes;
    }
  }

  /** Until the client has heard everything that it asked for, within bounds. */
  #lastWords(): Promise<void> {
    if (!this.#marks.waiting) return Promise.resolve();
    return new Promise((resolve) => {
      this.#said = () => {
        this.#late?.cancel();
        resolve();
      };
      this.#late = deadline(lastWordsMs, () => resolve());
      void this.inner.closed.then(this.#said);
    });
  }

  override async write(chunk: Uint8Array): Promise<void> {
    await this.#write(this.#marks.replies(chunk));
    if (!this.#marks.waiting) this.#said?.();
  }

  async #write(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    if (this.#statements?.replies(bytes) === false) {
      this.#refusal ??= new Refusal("upstream_refused", "the upstream's replies are not Redis's");
      throw this.#refusal;
    }
    await this.inner.write(bytes);
  }

  override async closeWrite(): Promise<void> {
    this.#said?.();
    this.#statements?.over();
    await this.#write(this.#marks.rest());
    await this.inner.closeWrite();
  }

  override abort(how?: "close" | "reset"): void {
    this.#statements?.over();
    this.inner.abort(how);
  }
}
