/** Follows one direction of a session by types and lengths alone: messages that nobody asks for cost next to nothing. */
export class MessageEnds {
  readonly #wanted: Uint8Array;
  readonly #ended: (type: string, last: number) => void;
  #type = 0;
  /** Of the message under way. */
  #left = 0;
  /** What has come of a type and length that were cut in two. */
  #head: number[] = [];

  /**
   * @param wanted the types to be told of
   * @param ended a message of those is complete; its last byte
   */
  constructor(wanted: string, ended: (type: string, last: number) => void) {
    this.#wanted = new Uint8Array(256);
    for (const type of wanted) this.#wanted[type.charCodeAt(0)] = 1;
    this.#ended = ended;
  }

  /** Whether what has come so far ends with a message. */
  get between(): boolean {
    return this.#left === 0 && this.#head.length === 0;
  }

  /** Takes what comes next, however it is cut. False when it is no stream of messages; it is not to be called again. */
  take(bytes: Uint8Array): boolean {
    const end = bytes.length;
    let at = 0;
    let left = this.#left;
    let type = this.#type;
    for (;;) {
      if (left > 0) {
        if (left > end - at) break;
        at += left;
        left = 0;
        if (this.#wanted[type] === 1) this.#ended(String.fromCharCode(type), bytes[at - 1] ?? 0);
      }
      if (at === end) break;
      let length: number;
      if (this.#head.length === 0 && end - at >= 5) {
        type = bytes[at] ?? 0;
        length = lengthAt(bytes, at + 1);
        at += 5;
      } else {
        this.#head.push(bytes[at++] ?? 0);
        if (this.#head.length < 5) continue;
        type = this.#head[0] ?? 0;
        length = lengthAt(this.#head, 1);
        this.#head = [];
      }
      if (length < 4) return false;
      left = length - 4;
      if (left === 0 && this.#wanted[type] === 1) this.#ended(String.fromCharCode(type), 0);
    }
    this.#left = left - (end - at);
    this.#type = type;
    return true;
  }
}

const lengthAt = (bytes: Uint8Array | readonly number[], at: number): number =>
  (bytes[at] ?? 0) * 0x1_00_00_00 +
  (((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0));
