import type { z } from "zod";
import type { Connection } from "../types.ts";
import { encodeMessage, parseMessage } from "./wire.ts";

/** What may wait for a process that does not read: then it is stuck, and cut off. */
const maxUnread = 64 << 20;

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts;
  if (first !== undefined && parts.length === 1) return first;
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Messages both ways over a connection between two processes of one router. Anything else on it ends it. */
export class Channel<In, Out> {
  readonly closed: Promise<void>;
  readonly #connection: Connection;
  readonly #schema: z.ZodType<In>;
  #waiting: Uint8Array[] = [];
  #unread = 0;
  #writing = false;

  constructor(connection: Connection, schema: z.ZodType<In>, receive: (message: In) => void) {
    this.#connection = connection;
    this.#schema = schema;
    this.closed = this.#read(receive).then(
      () => this.close(),
      () => this.close(),
    );
  }

  send(message: Out): void {
    const bytes = encodeMessage(message);
    this.#waiting.push(bytes);
    this.#unread += bytes.length;
    if (this.#unread > maxUnread) this.close();
    if (this.#writing) return;
    this.#writing = true;
    // What is said in one turn goes in one piece.
    void Promise.resolve().then(() => this.#flush());
  }

  close(): void {
    this.#connection.abort();
  }

  async #flush(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const batch = joined(this.#waiting);
        this.#waiting = [];
        await this.#connection.write(batch);
        this.#unread -= batch.length;
      }
    } catch {
      this.close();
    } finally {
      this.#writing = false;
    }
  }

  async #read(receive: (message: In) => void): Promise<void> {
    let kept: Uint8Array = new Uint8Array(0);
    let parts: Uint8Array[] = [];
    let length = 0;
    let wanted = 1;
    for (;;) {
      const chunk = await this.#connection.read();
      if (chunk === null) return;
      parts.push(chunk);
      length += chunk.length;
      if (length < wanted) continue;
      kept = joined(parts);
      for (;;) {
        const parsed = parseMessage(kept);
        if (parsed.kind === "no") return;
        if (parsed.kind === "more") {
          wanted = parsed.atLeast;
          break;
        }
        kept = kept.subarray(parsed.used);
        receive(this.#schema.parse(parsed.value));
      }
      parts = kept.length === 0 ? [] : [kept];
      length = kept.length;
    }
  }
}
