import type { AuditTarget } from "../config/audit.ts";
import type { ConnectionRecord } from "../core/record.ts";
import { endOf } from "../runtime/files.ts";
import { takeNotes } from "../runtime/note-file.ts";
import type { Summons } from "../workers/messages.ts";

/** Where a worker notes what is open: its number is another's once this one has ended, and that was looked at. */
export const openNotesPath = ({ folder, number }: Pick<Summons, "folder" | "number">): string =>
  `${folder}/open-${number}`;

/** More than a worker writes at once. */
const lines = 1024;
const bytes = 2 << 20;

/** Whose record a line is; what went on in a connection has its id too, and is no record of it. */
const idOf = (line: string): string =>
  /^\{"time":"[^"]*","id":"([^"]+)","event":"connection"/.exec(line)?.[1] ?? "";

/** The connections that a worker leaves behind when it is killed: its primary records them. */
export class LeftOpen {
  readonly #summons: Summons;
  readonly #target: AuditTarget;
  /** Whose records it handed over last. */
  readonly #lately: string[] = [];

  constructor(summons: Summons, target: AuditTarget) {
    this.#summons = summons;
    this.#target = target;
  }

  /** A record that it hands over. */
  handed(line: string): void {
    this.#lately.push(idOf(line));
    if (this.#lately.length > 2 * lines) this.#lately.splice(0, lines);
  }

  /** @param status its exit status */
  records(status: number): readonly ConnectionRecord[] {
    const { number } = this.#summons;
    const detail = `worker ${number} ended with status ${status} while it was open; bytes as of 2 seconds before at most`;
    const found = takeNotes(openNotesPath(this.#summons), Date.now(), detail);
    if (found.length === 0) return found;
    // It may have been killed between writing a record and erasing its note.
    const recorded = this.#recorded();
    return found.filter(({ id }) => !recorded.has(id));
  }

  #recorded(): ReadonlySet<string> {
    if (this.#target.to !== "file") return new Set(this.#lately);
    const { path } = this.#target;
    return new Set([`${path}.1`, path].flatMap((one) => endOf(one, bytes).split("\n").map(idOf)));
  }
}
