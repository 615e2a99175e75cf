import type { Statement } from "../../core/session.ts";
import { type Reply, ReplyFramer } from "../../wire/redis-replies.ts";
import type { Heard } from "./requests.ts";

interface Asked {
  readonly name: string;
  readonly text: string;
  readonly at: number;
}

/** Commands that are answered by messages, and what these begin with. */
const subscribing: ReadonlySet<string> = new Set([
  ...["subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe"],
]);
const messages: ReadonlySet<string> = new Set(["message", "pmessage", "smessage", ...subscribing]);

/** So many may wait for their replies before the client must. */
const maxWaiting = 10_000;
const decoder = new TextDecoder();

/** A command's name and its first argument: a key, most often. What else it says may be a secret. */
export function statementText({ name, first, args }: Heard): string {
  const shown = first !== null && !(name === "auth" && args === 1) ? ` ${decoder.decode(first)}` : "";
  const left = args - (shown === "" ? 0 : 1);
  return `${(name ?? "?").toUpperCase()}${shown}${left > 0 ? ` … ${left} more` : ""}`;
}

/** Matches commands and replies, and reports each command with what became of it. */
export class Statements {
  readonly #report: (statement: Statement) => void;
  readonly #framer = new ReplyFramer();
  #waiting: Asked[] = [];
  /** How many at the front of `#waiting` are done with. */
  #done = 0;
  #subscribed = false;
  #monitoring = false;
  #room: (() => void) | undefined;

  constructor(report: (statement: Statement) => void) {
    this.#report = report;
  }

  readonly heard = (command: Heard): void => {
    const name = command.name ?? "";
    if (subscribing.has(name)) this.#subscribed = true;
    this.#waiting.push({ name, text: statementText(command), at: performance.now() });
  };

  /** Resolves when the client may ask for more. */
  async room(): Promise<void> {
    if (this.#waiting.length - this.#done <= maxWaiting) return;
    await new Promise<void>((resolve) => {
      this.#room = resolve;
    });
  }

  /** The connection is over: nobody need wait, and what was not answered is written down too. */
  over(): void {
    const left = this.#waiting.slice(this.#done);
    this.#waiting = [];
    this.#done = 0;
    for (const { text, at } of left)
      this.#report({ text, error: "unanswered", rows: null, durationMs: performance.now() - at });
    this.#room?.();
  }

  /** What the client is about to get. False where it is nothing that Redis says. */
  replies(chunk: Uint8Array): boolean {
    const replies = this.#framer.push(chunk);
    if (replies === null) return false;
    for (const reply of replies) this.#answered(reply);
    if (this.#waiting.length - this.#done <= maxWaiting) this.#room?.();
    return true;
  }

  #answered(reply: Reply): void {
    const asked = this.#waiting[this.#done];
    if (reply.type === ">" || (this.#subscribed && reply.type === "*" && messages.has(reply.first ?? ""))) {
      // The first of several that answer a subscription.
      if (asked !== undefined && subscribing.has(asked.name) && asked.name === reply.first)
        this.#finish(asked, reply);
      return;
    }
    if (this.#monitoring && reply.type === "+" && /^\d+\.\d+ \[/.test(reply.text)) return;
    if (asked !== undefined) this.#finish(asked, reply);
  }

  #finish(asked: Asked, reply: Reply): void {
    if (++this.#done > 256) {
      this.#waiting = this.#waiting.slice(this.#done);
      this.#done = 0;
    }
    const failed = reply.type === "-" || reply.type === "!";
    if (!failed && asked.name === "monitor") this.#monitoring = true;
    if (!failed && asked.name === "reset") this.#monitoring = this.#subscribed = false;
    this.#report({
      text: asked.text,
      error: failed ? (/^\S+/.exec(reply.text)?.[0] ?? "ERR") : null,
      rows: reply.type === ">" ? null : reply.count,
      durationMs: performance.now() - asked.at,
    });
  }
}
