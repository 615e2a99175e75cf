import { LruMap } from "../../core/lru-map.ts";
import type { DatabaseSession, Session } from "../../core/session.ts";
import { Refusal } from "../../errors.ts";
import { parseChangeUser } from "../../wire/mysql/auth.ts";
import type { Capabilities } from "../../wire/mysql/capabilities.ts";
import { type Command, command } from "../../wire/mysql/commands.ts";
import { Reader, text } from "../../wire/mysql/reader.ts";
import { type Result, ResultStream } from "../../wire/mysql/results.ts";

/** How much of a command is kept: what of a statement is written down, in characters of up to four bytes. */
export const toldBytes = 16 * 1024;
/** Statements whose text is remembered, a session. */
const maxPrepared = 256;
/** Commands that a client may send ahead of their answers. */
const maxAhead = 1024;
/** MariaDB: the statement that was prepared last, whatever its number. */
const lastPrepared = 0xffff_ffff;

interface Asked {
  readonly code: number;
  /** What the line says; `null`: none is written where all is well. */
  readonly text: string | null;
  readonly started: number;
  /** Whose session it is from then on, where all is well. */
  readonly becomes: DatabaseSession | null;
}

/** Writes a line for each statement of a session once it is known how it went. */
export class Audit {
  readonly #session: Session;
  readonly #capabilities: Capabilities;
  readonly #results: ResultStream;
  readonly #asked: Asked[] = [];
  readonly #prepared = new LruMap<number, string>(maxPrepared);
  #last = "";

  constructor(session: Session, capabilities: Capabilities) {
    this.#session = session;
    this.#capabilities = capabilities;
    this.#results = new ResultStream(capabilities);
  }

  /** Commands are on their way. A `Refusal` where they can't be followed. */
  asked(commands: readonly Command[]): Refusal | null {
    for (const one of commands) {
      if (one.code === command.closeStatement)
        this.#prepared.delete(new Reader(one.payload, 1).uint(4) ?? lastPrepared);
      if (!this.#results.expect(one)) continue;
      this.#asked.push({
        code: one.code,
        text: this.#textOf(one),
        started: performance.now(),
        becomes: this.#becomes(one),
      });
    }
    return this.#asked.length <= maxAhead
      ? null
      : new Refusal("limit_reached", `${maxAhead} statements wait for their answers`);
  }

  /** Answers are on their way. A `Refusal` where they can't be followed. */
  answered(chunk: Uint8Array): Refusal | null {
    const results = this.#results.push(chunk);
    if (results === null)
      return new Refusal("upstream_refused", "the upstream's answers could not be followed, and are audited");
    for (const result of results) this.#report(result);
    return null;
  }

  /** The connection is gone: what was not answered is written down too. */
  ended(): void {
    for (const { text: said, started } of this.#asked.splice(0)) {
      if (said !== null)
        this.#session.statement({
          text: said,
          error: "unanswered",
          rows: null,
          durationMs: performance.now() - started,
        });
    }
  }

  /** Servers go on as before where a change of user fails: the lines that follow must not be another's. */
  #becomes({ code, payload }: Command): DatabaseSession | null {
    const asked = code === command.changeUser ? parseChangeUser(payload, this.#capabilities) : null;
    return asked === null ? null : { user: asked.user, name: asked.database };
  }

  #textOf({ code, payload }: Command): string | null {
    const said = text(payload.subarray(1));
    switch (code) {
      case command.query:
      case command.prepare:
        if (code === command.prepare) this.#last = said;
        return said;
      case command.useDatabase:
        return `USE ${said}`;
      case command.execute:
      case command.bulkExecute: {
        const id = new Reader(payload, 1).uint(4) ?? 0;
        return (id === lastPrepared ? this.#last : this.#prepared.get(id)) ?? `(prepared statement ${id})`;
      }
      default:
        return null;
    }
  }

  #report({ error, rows, statementId }: Result): void {
    const asked = this.#asked.shift();
    if (asked === undefined) return;
    if (asked.becomes !== null && error === null) this.#session.opened(asked.becomes);
    if (asked.text === null) return;
    if (asked.code === command.prepare) {
      // Written down when it is run.
      if (statementId !== null) this.#prepared.set(statementId, asked.text);
      if (error === null) return;
    }
    this.#session.statement({
      text: asked.text,
      error: error === null ? null : String(error),
      rows,
      durationMs: performance.now() - asked.started,
    });
  }
}
