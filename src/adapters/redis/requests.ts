import { ok, type Parsed } from "../../wire/cursor.ts";
import { joined } from "../../wire/joined.ts";
import {
  commandName,
  parseBulk,
  parseBulkHeader,
  parseRequest,
  parseRequestHead,
  request,
} from "../../wire/redis.ts";

/** Who decides about a client's commands. */
export interface Judge {
  /** Whether a command of this name must be seen whole. */
  concerns(name: string): boolean;
  /** What goes upstream in the place of a command that concerns it; `null`: as it stands. */
  judge(args: readonly Uint8Array[]): Uint8Array | null;
  /** Told of every command that goes its way, in order; `null`: nobody wants to hear of them. */
  readonly heard: ((command: Heard) => void) | null;
}

export interface Heard {
  /** In lower case; `null` where it is longer than any command's. */
  readonly name: string | null;
  /** `null` where there is none, or a long one. */
  readonly first: Uint8Array | null;
  /** How many arguments it has. */
  readonly args: number;
}

/** A first argument that is longer tells nobody anything. */
const maxFirst = 256;
const empty = new Uint8Array(0);

/**
 * Follows a client's commands, however they are cut, and passes them on as they came but for those that somebody has
 * something to say about. Large arguments go through as they come; only beginnings of commands are kept.
 */
export class Requests {
  readonly #judge: Judge;
  #kept: Uint8Array = empty;
  /** Bytes of the argument under way, its end included. */
  #skip = 0;
  /** Arguments of the command under way that are still to come. */
  #left = 0;

  constructor(judge: Judge) {
    this.#judge = judge;
  }

  /** What goes upstream for these bytes, and what is wrong with what follows it, if anything is. */
  push(chunk: Uint8Array): { readonly bytes: Uint8Array; readonly problem: string | null } {
    const data = this.#kept.length === 0 ? chunk : joined([this.#kept, chunk]);
    this.#kept = empty;
    const out: Uint8Array[] = [];
    let from = 0;
    let at = 0;
    let problem: string | null = null;
    while (at < data.length) {
      if (this.#skip > 0) {
        const count = Math.min(this.#skip, data.length - at);
        this.#skip -= count;
        at += count;
        continue;
      }
      const step = this.#left > 0 ? this.#argument(data.subarray(at)) : this.#command(data.subarray(at));
      if (step.kind === "more") break;
      if (step.kind === "no") {
        problem = step.detail;
        break;
      }
      if (step.value !== null) {
        out.push(data.subarray(from, at), step.value);
        from = at + step.used;
      }
      at += step.used;
    }
    if (problem === null) this.#kept = data.slice(at);
    out.push(data.subarray(from, at));
    return { bytes: out.length === 1 ? data.subarray(from, at) : joined(out), problem };
  }

  #argument(bytes: Uint8Array): Parsed<null> {
    const header = parseBulkHeader(bytes);
    if (header.kind !== "ok") return header;
    this.#left--;
    this.#skip = header.value + 2;
    return ok(null, header.used);
  }

  /** What goes on in the place of the next command, or of its beginning; `null`: what came. */
  #command(bytes: Uint8Array): Parsed<Uint8Array | null> {
    const head = parseRequestHead(bytes);
    if (head.kind !== "ok") return head;
    const { value, used } = head;
    // Servers pass over it: so it need not get there.
    if (value.kind === "empty") return ok(empty, used);
    if (value.kind === "inline") {
      const [name = empty] = value.args;
      const instead = this.#judge.concerns(commandName(name)) ? this.#judge.judge(value.args) : null;
      this.#judge.heard?.({
        name: commandName(name),
        first: value.args[1] ?? null,
        args: value.args.length - 1,
      });
      // Written so that there is no second way to read it.
      return ok(instead ?? request(value.args), used);
    }
    const { name, left } = value;
    if (name !== null && this.#judge.concerns(name)) {
      const whole = parseRequest(bytes);
      if (whole.kind !== "ok") return whole;
      const instead = this.#judge.judge(whole.value);
      this.#judge.heard?.({ name, first: whole.value[1] ?? null, args: left });
      return ok(instead, whole.used);
    }
    if (this.#judge.heard !== null) {
      let first: Uint8Array | null = null;
      if (left > 0 && name !== null) {
        const argument = parseBulk(bytes.subarray(used), maxFirst);
        if (argument.kind === "ok") first = argument.value;
        else if (argument.kind === "more" || argument.code !== "too_large") return argument;
      }
      this.#judge.heard({ name, first, args: name === null ? left - 1 : left });
    }
    this.#left = left;
    return ok(null, used);
  }
}
