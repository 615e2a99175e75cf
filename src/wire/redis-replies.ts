/** One reply of a Redis server, RESP2 or RESP3, without what it holds. */
export interface Reply {
  /** The byte it begins with, as a character. */
  readonly type: string;
  /** The beginning of a status or an error. */
  readonly text: string;
  /** How many elements it has; `null` where it is no aggregate. */
  readonly count: number | null;
  /** The first element of an aggregate, where that is short text: what a message of publish and subscribe is. */
  readonly first: string | null;
}

/** A line as far as it is kept: as long as the words of an error that say what it is. */
const maxKept = 128;
const maxFirst = 16;
/** Deeper than servers nest. */
const maxDepth = 128;
const lf = 0x0a;

const none = { text: "", count: null, first: null } as const;

/**
 * Tells where replies end in a stream of them, however it is cut, and keeps next to nothing of what they say.
 */
export class ReplyFramer {
  #line: number[] = [];
  /** Bytes of a bulk string, its end included, that are still to come. */
  #skip = 0;
  /** Of which so many are its text. */
  #text = 0;
  #captured: number[] | null = null;
  /** Elements that the open aggregates still want; attributes are told apart: the reply is what follows them. */
  readonly #open: { left: number; readonly attribute: boolean }[] = [];
  #reply: { type: string; text: string; count: number | null; first: string | null } | null = null;

  /** The replies that end in these bytes; `null` where they are no replies. Afterwards it is of no use. */
  push(chunk: Uint8Array): readonly Reply[] | null {
    const replies: Reply[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (this.#skip > 0) {
        at += this.#skipOver(chunk, at, replies);
        continue;
      }
      const end = chunk.indexOf(lf, at);
      const stop = end < 0 ? chunk.length : end;
      for (; at < stop && this.#line.length < maxKept; at++) this.#line.push(chunk[at] ?? 0);
      at = stop;
      if (end < 0) break;
      at++;
      const line = String.fromCharCode(...this.#line).replace(/\r$/, "");
      this.#line = [];
      if (!this.#take(line, replies)) return null;
    }
    return replies;
  }

  #skipOver(chunk: Uint8Array, at: number, replies: Reply[]): number {
    const count = Math.min(this.#skip, chunk.length - at);
    if (this.#captured !== null) {
      const text = Math.min(count, this.#text);
      this.#captured.push(...chunk.subarray(at, at + Math.min(text, maxKept - this.#captured.length)));
      this.#text -= text;
    }
    this.#skip -= count;
    if (this.#skip === 0) {
      if (this.#captured !== null) this.#keep(String.fromCharCode(...this.#captured));
      this.#captured = null;
      this.#ended(replies);
    }
    return count;
  }

  #keep(text: string): void {
    if (this.#reply === null) return;
    if (this.#open.length === 0) this.#reply.text = text;
    else if (this.#reply.first === null) this.#reply.first = text;
  }

  #take(line: string, replies: Reply[]): boolean {
    const type = line.slice(0, 1);
    if (type !== "|" && this.#open.length === 0) this.#reply = { type, ...none };
    switch (type) {
      case "+":
      case "-":
        this.#keep(line.slice(1));
        this.#ended(replies);
        return true;
      case ":":
      case "_":
      case "#":
      case ",":
      case "(":
        this.#ended(replies);
        return true;
    }
    const length = /^-1$|^\d{1,15}$/.test(line.slice(1)) ? Number(line.slice(1)) : null;
    if (length === null) return false;
    switch (type) {
      case "$":
      case "!":
      case "=":
        if (length < 0) {
          this.#ended(replies);
          return true;
        }
        this.#skip = length + 2;
        this.#text = length;
        this.#captured =
          type === "!" || (this.#open.length === 1 && this.#reply?.first === null && length <= maxFirst)
            ? []
            : null;
        return true;
      case "*":
      case "~":
      case ">":
      case "%":
      case "|":
        return this.#openAggregate(type, Math.max(length, 0), replies);
      default:
        return false;
    }
  }

  #openAggregate(type: string, length: number, replies: Reply[]): boolean {
    const attribute = type === "|";
    if (this.#open.length === 0 && this.#reply !== null && !attribute) this.#reply.count = length;
    if (length === 0) {
      if (!attribute) this.#ended(replies);
      return true;
    }
    if (this.#open.length >= maxDepth) return false;
    this.#open.push({ left: type === "%" || attribute ? 2 * length : length, attribute });
    return true;
  }

  /** A value has come to its end, and with it what it was the last of. */
  #ended(replies: Reply[]): void {
    for (let top = this.#open.at(-1); top !== undefined; top = this.#open.at(-1)) {
      if (--top.left > 0) return;
      this.#open.pop();
      if (top.attribute) return;
    }
    if (this.#reply !== null) replies.push(this.#reply);
    this.#reply = null;
  }
}
