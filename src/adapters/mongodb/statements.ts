import type { Statement } from "../../core/session.ts";
import { numberOf, textOf } from "../../wire/bson.ts";
import { type Replied, ReplyReader } from "../../wire/mongodb-replies.ts";
import { type Heard, statementText } from "./rules.ts";

interface Waiting {
  readonly text: string;
  readonly at: number;
}

/** So many may wait for their answers before the client must. */
const maxWaiting = 1000;

/** Matches commands and answers, and reports each command with what became of it. */
export class Statements {
  readonly #report: (statement: Statement) => void;
  /** By number, in the order in which they came: clients may use one again before it is answered. */
  readonly #waiting = new Map<number, readonly Waiting[]>();
  #count = 0;
  readonly #replies: ReplyReader;
  #room: (() => void) | undefined;

  constructor(report: (statement: Statement) => void) {
    this.#report = report;
    this.#replies = new ReplyReader((reply) => this.#replied(reply));
  }

  readonly heard = ({ asked, verdict, refused }: Heard): void => {
    const text = statementText(asked.name, asked.body);
    // An answer of ours, or none at all.
    if (verdict.kind === "answer" || !asked.answered)
      this.#report({ text, error: refused, rows: null, durationMs: 0 });
    else {
      const { requestId } = asked.header;
      this.#waiting.set(requestId, [
        ...(this.#waiting.get(requestId) ?? []),
        { text, at: performance.now() },
      ]);
      this.#count++;
    }
  };

  /** Resolves when the client may ask for more. */
  async room(): Promise<void> {
    if (this.#count <= maxWaiting) return;
    await new Promise<void>((resolve) => {
      this.#room = resolve;
    });
  }

  /** The connection is over: nobody need wait, and what was not answered is written down too. */
  over(): void {
    const left = [...this.#waiting.values()].flat();
    this.#waiting.clear();
    this.#count = 0;
    for (const { text, at } of left)
      this.#report({ text, error: "unanswered", rows: null, durationMs: performance.now() - at });
    this.#room?.();
  }

  /** What the client is about to get. Throws where it is no answer. */
  replies(chunk: Uint8Array): void {
    this.#replies.push(chunk);
    if (this.#count <= maxWaiting) this.#room?.();
  }

  #replied({ responseTo, fields }: Replied): void {
    const [waiting, ...others] = this.#waiting.get(responseTo) ?? [];
    // What goes on after the first answer, as when a server is watched.
    if (waiting === undefined) return;
    if (others.length > 0) this.#waiting.set(responseTo, others);
    else this.#waiting.delete(responseTo);
    this.#count--;
    const ok = numberOf(fields.get("ok")) === 1;
    const code = textOf(fields.get("codeName")) ?? numberOf(fields.get("code"))?.toString();
    this.#report({
      text: waiting.text,
      error: ok ? (fields.has("writeErrors") ? "WriteError" : null) : (code ?? "UnknownError"),
      rows: numberOf(fields.get("n")),
      durationMs: performance.now() - waiting.at,
    });
  }
}
