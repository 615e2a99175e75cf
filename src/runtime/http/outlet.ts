import { isPushed } from "../../core/evented.ts";
import type { Connection, PushedConnection } from "../../types.ts";

/** Parts of one message up to so many bytes are put together before they go out: to copy them is cheaper. */
const smallMessage = 16 * 1024;

const bytesOf = (text: string): Uint8Array => Buffer.from(text, "latin1");

/** Where a connection's bytes go: without a promise for each write where the connection needs none. */
export class Outlet {
  readonly #connection: Connection;
  readonly #pushed: PushedConnection | null;
  readonly #broke: (error: Error) => void;
  /** The last write that has to be waited for. */
  #underWay: Promise<void> | null = null;
  #full = false;
  #gone = false;
  #waiting: (() => void) | null = null;

  /** @param broke nothing can be written any more */
  constructor(connection: Connection, broke: (error: Error) => void) {
    this.#connection = connection;
    this.#pushed = isPushed(connection) ? connection : null;
    this.#broke = broke;
    if (this.#pushed !== null) this.#pushed.drained = this.#drained;
  }

  readonly #drained = (): void => {
    this.#full = false;
    const go = this.#waiting;
    this.#waiting = null;
    go?.();
  };

  /** The connection is gone: nobody waits for room any more. */
  gone(): void {
    this.#gone = true;
    this.#drained();
  }

  /** Text of one byte a character. */
  writeText(text: string): void {
    this.#write(bytesOf(text));
  }

  /**
   * One message of text, bytes and text again. Wait for `room` before the next one.
   */
  writeParts(before: string, bytes: Uint8Array, after: string): void {
    const length = before.length + bytes.length + after.length;
    if (length <= smallMessage) {
      const whole = Buffer.allocUnsafe(length);
      whole.write(before, 0, "latin1");
      whole.set(bytes, before.length);
      if (after !== "") whole.write(after, before.length + bytes.length, "latin1");
      return void this.#write(whole);
    }
    const parts: Uint8Array[] = [];
    if (before !== "") parts.push(bytesOf(before));
    parts.push(bytes);
    if (after !== "") parts.push(bytesOf(after));
    const { writev } = this.#connection;
    if (writev === undefined || parts.length === 1) for (const part of parts) this.#write(part);
    else this.#follow(() => this.#connection.writev?.(parts) ?? Promise.resolve());
  }

  #write(bytes: Uint8Array): void {
    if (this.#gone) return;
    if (this.#pushed === null || this.#underWay !== null) this.#follow(() => this.#connection.write(bytes));
    else if (!this.#pushed.push(bytes)) this.#full = true;
  }

  /** Writes of a plain connection come one behind the other. */
  #follow(write: () => Promise<void>): void {
    if (this.#gone) return;
    const before = this.#underWay;
    const written = before === null ? write() : before.then(write);
    this.#underWay = written;
    written.then(
      () => {
        if (this.#underWay === written) this.#underWay = null;
      },
      (error: Error) => {
        if (!this.#gone) this.#broke(error);
      },
    );
  }

  /** Resolves when there is room for more, or nobody to take it; `null`: there is now. */
  room(): Promise<void> | null {
    if (this.#gone) return null;
    if (this.#underWay !== null) return this.#underWay.catch(() => {});
    if (!this.#full) return null;
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }
}
