/**
 * Follows one direction of a session after the login: type, length, body, again and again. Of each body the beginning is
 * kept, as far as it is asked for; the rest is counted.
 */
export class MessageStream {
  readonly #keep: (type: string) => number;
  readonly #seen: (type: string, beginning: Uint8Array, length: number) => void;
  readonly #head = new Uint8Array(5);
  #headLength = 0;
  #type = "";
  #length = 0;
  #left = 0;
  #kept: Uint8Array[] = [];
  #toKeep = 0;

  /**
   * @param keep how many bytes of such a message are wanted
   * @param seen a message is complete: its type, what was kept of it and how long it was
   */
  constructor(
    keep: (type: string) => number,
    seen: (type: string, beginning: Uint8Array, length: number) => void,
  ) {
    this.#keep = keep;
    this.#seen = seen;
  }

  /** Takes what comes next, however it is cut. False when it is no stream of messages; it is not to be called again. */
  take(bytes: Uint8Array): boolean {
    let at = 0;
    while (at < bytes.length) {
      if (this.#headLength < 5) {
        this.#head[this.#headLength++] = bytes[at++] ?? 0;
        if (this.#headLength < 5) continue;
        if (!this.#begin()) return false;
      } else {
        const part = bytes.subarray(at, at + this.#left);
        at += part.length;
        this.#left -= part.length;
        if (this.#toKeep > 0) {
          // A copy: the bytes may be another chunk's once they are written.
          const kept = part.slice(0, this.#toKeep);
          this.#toKeep -= kept.length;
          this.#kept.push(kept);
        }
      }
      if (this.#headLength === 5 && this.#left === 0) this.#end();
    }
    return true;
  }

  #begin(): boolean {
    const length = new DataView(this.#head.buffer).getUint32(1);
    if (length < 4) return false;
    this.#type = String.fromCharCode(this.#head[0] ?? 0);
    this.#length = length - 4;
    this.#left = this.#length;
    this.#toKeep = Math.min(this.#length, this.#keep(this.#type));
    return true;
  }

  #end(): void {
    const kept = this.#kept;
    this.#kept = [];
    this.#headLength = 0;
    const [first] = kept;
    const beginning =
      first === undefined
        ? new Uint8Array(0)
        : kept.length === 1
          ? first
          : Uint8Array.from(kept.flatMap((one) => [...one]));
    this.#seen(this.#type, beginning, this.#length);
  }
}
