import { type Element, int32At, valueSize } from "./bson.ts";
import { opCodes } from "./mongodb.ts";

/** An answer, by what it says first and last of itself. */
export interface Replied {
  readonly responseTo: number;
  /** Those of its elements that are looked for, by name; of a long one the name alone counts. */
  readonly fields: ReadonlyMap<string, Element>;
}

const wanted: ReadonlySet<string> = new Set([
  ...["ok", "code", "codeName", "n", "writeErrors", "done", "speculativeAuthenticate"],
]);
const headerBytes = 16;
/** A name and the beginning of a value that are longer are nobody's. */
const maxKept = 1024;
const maxValue = 256;
/** What an `OP_REPLY` has before its document. */
const replyFields = 20;

/** Reads a few elements of each answer in a stream of them, however it is cut and however long they are. */
export class ReplyReader {
  readonly #replied: (reply: Replied) => void;
  #kept: number[] = [];
  /** Bytes to pass over without looking. */
  #skip = 0;
  /** Bytes of the message under way that are still to come. */
  #left = 0;
  #at: "header" | "section" | "elements" | "rest" = "header";
  #responseTo = 0;
  #opCode = 0;
  #fields = new Map<string, Element>();

  constructor(replied: (reply: Replied) => void) {
    this.#replied = replied;
  }

  /** Throws where these are no answers. */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#skip > 0) {
        const count = Math.min(this.#skip, chunk.length - at);
        this.#skip -= count;
        this.#left -= count;
        at += count;
        this.#ended();
        continue;
      }
      this.#kept.push(chunk[at++] ?? 0);
      if (this.#at !== "header") this.#left--;
      if (this.#kept.length > maxKept) throw new RangeError("an element without an end");
      this.#look();
      this.#ended();
    }
  }

  #ended(): void {
    if (this.#at === "header") return;
    if (this.#left > 0) return;
    if (this.#left < 0 || this.#skip > 0 || this.#kept.length > 0)
      throw new RangeError("an answer that is cut");
    this.#replied({ responseTo: this.#responseTo, fields: this.#fields });
    this.#fields = new Map();
    this.#at = "header";
  }

  #look(): void {
    const bytes = Uint8Array.from(this.#kept);
    switch (this.#at) {
      case "header":
        if (bytes.length === headerBytes) this.#header(bytes);
        return;
      case "section": {
        const before = this.#opCode === opCodes.reply ? replyFields : 5;
        if (bytes.length < before + 4) return;
        this.#kept = [];
        // Other sections than a body are not answers' to have.
        if (this.#opCode === opCodes.message && bytes[4] !== 0) this.#pass();
        else this.#at = "elements";
        return;
      }
      default:
        this.#element(bytes);
    }
  }

  #header(bytes: Uint8Array): void {
    this.#left = int32At(bytes, 0) - headerBytes;
    if (this.#left < 0) throw new RangeError("a message that is shorter than its header");
    this.#responseTo = int32At(bytes, 8);
    this.#opCode = int32At(bytes, 12);
    this.#kept = [];
    this.#at = "section";
    if (this.#opCode !== opCodes.message && this.#opCode !== opCodes.reply) this.#pass();
  }

  /** Nothing more of this message is looked at. */
  #pass(): void {
    this.#at = "rest";
    this.#skip = this.#left;
  }

  #element(bytes: Uint8Array): void {
    const [type = 0] = bytes;
    if (type === 0) {
      this.#kept = [];
      this.#pass();
      return;
    }
    const nameEnd = bytes.indexOf(0, 1);
    if (nameEnd < 0) return;
    const size = valueSize(type, bytes.subarray(nameEnd + 1));
    if (size === "more") return;
    if (size === null) throw new RangeError("an answer that is no BSON");
    const name = String.fromCharCode(...bytes.subarray(1, nameEnd));
    const looked = wanted.has(name);
    const have = bytes.length - nameEnd - 1;
    if (looked && size <= maxValue && have < size) return;
    if (looked) {
      const value = bytes.subarray(nameEnd + 1);
      this.#fields.set(name, { type: size > maxValue ? 0 : type, name, value, whole: bytes });
    }
    this.#kept = [];
    this.#skip = size - have;
    if (this.#skip > this.#left) throw new RangeError("an answer that is longer than its message");
  }
}
