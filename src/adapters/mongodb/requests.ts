import type { Element } from "../../wire/bson.ts";
import { more, no, ok, type Parsed } from "../../wire/cursor.ts";
import { joined } from "../../wire/joined.ts";
import {
  checksumSize,
  commandWith,
  type MessageHeader,
  messageFlags,
  opCodes,
  parseCommand,
  parseCommandName,
  parseMessageHeader,
  parseQuery,
  queryWith,
} from "../../wire/mongodb.ts";

/** A command of the client's. */
export interface Asked {
  readonly name: string;
  readonly header: MessageHeader;
  readonly body: readonly Element[];
  /** Whether it is in the form that drivers begin with, and had for all they asked in former days. */
  readonly old: boolean;
  /** Whether an answer is expected. */
  readonly answered: boolean;
  /** Whether its body is all there is of it: the rest of a message may hold parts that belong into the body. */
  readonly whole: boolean;
  /** The same with these elements alone. */
  with(elements: readonly Element[]): Uint8Array;
}

/** What is to become of a command. */
export type Verdict =
  | { readonly kind: "pass" }
  /** Goes upstream instead. */
  | { readonly kind: "instead"; readonly message: Uint8Array }
  /** Goes nowhere; the answer is ours. */
  | { readonly kind: "answer"; readonly message: Uint8Array | null };

/** Who decides about a client's commands. */
export interface Judge {
  /** Whether a command of this name must be seen. */
  concerns(name: string): boolean;
  judge(asked: Asked): Verdict;
}

export interface Passed {
  /** What goes upstream. */
  readonly bytes: Uint8Array;
  /** What goes back to the client, in order. */
  readonly answers: readonly Uint8Array[];
  /** What is wrong with what follows, if anything is. */
  readonly problem: string | null;
}

/** One step: how many bytes go where, and how many more of the message go the same way unseen. */
interface Step {
  readonly verdict: Verdict;
  readonly rest: number;
}

const pass: Verdict = { kind: "pass" };

/** The next message as far as it must be seen. Only commands, and the beginning that drivers make. */
export function parseAsked(bytes: Uint8Array, concerns: (name: string) => boolean): Parsed<Asked | null> {
  const header = parseMessageHeader(bytes);
  if (header.kind !== "ok") return header;
  if (header.value.opCode === opCodes.query) {
    const query = parseQuery(bytes);
    if (query.kind !== "ok") return query;
    const { value } = query;
    const asked = { name: value.body[0]?.name ?? "", header: value.header, body: value.body, old: true };
    return ok(
      { ...asked, answered: true, whole: true, with: (elements) => queryWith(value, elements) },
      query.used,
    );
  }
  if (header.value.opCode !== opCodes.message)
    return no("unsupported", `messages of the kind ${header.value.opCode} are not spoken here`);
  const name = parseCommandName(bytes);
  if (name.kind !== "ok") return name;
  if (!concerns(name.value)) return ok(null, name.used);
  const command = parseCommand(bytes);
  if (command.kind !== "ok") return command;
  const { value } = command;
  const asked = { name: name.value, header: value.header, body: value.body, old: false };
  const answered = (value.flags & messageFlags.moreToCome) === 0;
  const whole = value.bodyEnd + checksumSize(value.flags) === value.header.length;
  return ok({ ...asked, answered, whole, with: (elements) => commandWith(value, elements) }, command.used);
}

/** Follows a client's messages, however they are cut. Large ones go through as they come. */
export class Requests {
  readonly #judge: Judge;
  #kept: Uint8Array[] = [];
  #length = 0;
  /** How much must have come before it is worth looking again. */
  #wanted = 1;
  /** Bytes of the message under way that are still to come, and whether they go on. */
  #rest = 0;
  #dropping = false;

  constructor(judge: Judge) {
    this.#judge = judge;
  }

  push(chunk: Uint8Array): Passed {
    this.#length += chunk.length;
    if (this.#length < this.#wanted) {
      this.#kept.push(chunk.slice());
      return { bytes: chunk.subarray(0, 0), answers: [], problem: null };
    }
    const data = this.#kept.length === 0 ? chunk : joined([...this.#kept, chunk]);
    const out: Uint8Array[] = [];
    const answers: Uint8Array[] = [];
    let problem: string | null = null;
    let from = 0;
    let at = 0;
    this.#wanted = 1;
    while (at < data.length) {
      if (this.#rest > 0) {
        const count = Math.min(this.#rest, data.length - at);
        this.#rest -= count;
        at += count;
        if (this.#dropping) from = at;
        continue;
      }
      const step = this.#next(data.subarray(at));
      if (step.kind === "more") {
        this.#wanted = step.atLeast;
        break;
      }
      if (step.kind === "no") {
        problem = step.detail;
        break;
      }
      const { verdict, rest } = step.value;
      this.#rest = rest;
      this.#dropping = verdict.kind !== "pass";
      if (verdict.kind !== "pass") {
        out.push(data.subarray(from, at));
        if (verdict.kind === "instead") out.push(verdict.message);
        else if (verdict.message !== null) answers.push(verdict.message);
        from = at + step.used;
      }
      at += step.used;
    }
    out.push(data.subarray(from, at));
    const left = problem === null ? data.slice(at) : data.subarray(0, 0);
    this.#kept = left.length === 0 ? [] : [left];
    this.#length = left.length;
    return { bytes: out.length === 1 ? data.subarray(from, at) : joined(out), answers, problem };
  }

  #next(bytes: Uint8Array): Parsed<Step> {
    const asked = parseAsked(bytes, (name) => this.#judge.concerns(name));
    if (asked.kind !== "ok") return asked;
    const { value, used } = asked;
    const header = parseMessageHeader(bytes);
    if (header.kind !== "ok") return more(used + 1);
    const rest = header.value.length - used;
    return ok({ verdict: value === null ? pass : this.#judge.judge(value), rest }, used);
  }
}
