import { isEvented } from "../core/evented.ts";
import type { Connection, Endpoint, EventedConnection } from "../types.ts";

/** Says what was carried. Gives the milliseconds until it is paid for. */
export type Charge = (bytes: number) => number;

export interface Charges {
  /** What the peer sends. */
  readonly in: Charge;
  /** What it is sent. */
  readonly out: Charge;
}

/** Timers are no more exact: what is owed for less is waited for with what comes next. */
const leastMs = 2;

/** One direction of a connection: it waits until what was carried last is paid for. */
class Lane {
  readonly #charge: Charge;
  readonly #over: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #waiters: (() => void)[] = [];

  /** @param over it need not wait any more */
  constructor(charge: Charge, over: () => void = () => {}) {
    this.#charge = charge;
    this.#over = over;
  }

  get waits(): boolean {
    return this.#timer !== undefined;
  }

  /** True where nothing more should be carried for now. */
  spent(bytes: number): boolean {
    const ms = this.#charge(bytes);
    if (ms < leastMs) return this.waits;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.stop(), ms);
    return true;
  }

  /** Resolves once more may be carried, or nothing will be. */
  ready(): Promise<void> | undefined {
    if (!this.waits) return undefined;
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
    });
  }

  stop(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const resolve of this.#waiters.splice(0)) resolve();
    this.#over();
  }
}

/**
 * A connection whose bytes are paid for: it is read, and takes more, no sooner than what it carried before is paid.
 * Nothing is kept here or thrown away; whoever is behind it waits, as they do for a slow peer.
 */
class PacedConnection implements Connection {
  readonly closed: Promise<void>;
  protected readonly under: Connection;
  protected readonly in: Lane;
  protected readonly out: Lane;

  constructor(under: Connection, charges: Charges) {
    this.under = under;
    this.closed = under.closed;
    this.in = new Lane(charges.in, () => this.mayRead());
    this.out = new Lane(charges.out, () => this.mayWrite());
    void under.closed.then(() => {
      this.in.stop();
      this.out.stop();
    });
  }

  protected mayRead(): void {}
  protected mayWrite(): void {}

  get remote(): Endpoint {
    return this.under.remote;
  }

  get local(): Endpoint {
    return this.under.local;
  }

  get bytesRead(): number {
    return this.under.bytesRead;
  }

  get bytesWritten(): number {
    return this.under.bytesWritten;
  }

  get waits(): boolean {
    return this.in.waits || this.out.waits;
  }

  async read(): Promise<Uint8Array | null> {
    await this.in.ready();
    const chunk = await this.under.read();
    if (chunk !== null) this.in.spent(chunk.length);
    return chunk;
  }

  unread(bytes: Uint8Array): void {
    this.under.unread(bytes);
  }

  write(bytes: Uint8Array): Promise<void> {
    const { length } = bytes;
    return this.#paid(length, this.under.write(bytes));
  }

  writev(parts: readonly Uint8Array[]): Promise<void> {
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    return this.#paid(length, this.under.writev?.(parts) ?? this.#each(parts));
  }

  async #each(parts: readonly Uint8Array[]): Promise<void> {
    for (const part of parts) await this.under.write(part);
  }

  /** No later than it has to be: on Deno an end that comes a moment after the last word may never go out (2.9.6). */
  #paid(length: number, written: Promise<void>): Promise<void> {
    return this.out.spent(length) ? written.then(() => this.out.ready()) : written;
  }

  closeWrite(): Promise<void> {
    return this.under.closeWrite();
  }

  abort(how?: "close" | "reset"): void {
    this.under.abort(how);
  }
}

/** The same for the runtimes' own relays. */
class PacedEventedConnection extends PacedConnection implements EventedConnection {
  declare protected readonly under: EventedConnection;
  /** Its reader wants nothing for now. */
  #held = false;
  /** The last push found no room below. */
  #full = false;
  #drained: (() => void) | undefined;

  protected override mayRead(): void {
    if (!this.#held) this.under.release();
  }

  protected override mayWrite(): void {
    if (!this.#full) this.#drained?.();
  }

  get broke(): Error | undefined {
    return this.under.broke;
  }

  set whenGone(callback: () => void) {
    this.under.whenGone = callback;
  }

  get took(): boolean {
    return this.under.took;
  }

  pipeTo(sink: (chunk: Uint8Array | null) => boolean): void {
    this.under.pipeTo((chunk) => {
      const took = sink(chunk);
      if (chunk !== null && this.in.spent(chunk.length)) this.under.hold();
      return took;
    });
  }

  push(chunk: Uint8Array): boolean {
    const { length } = chunk;
    if (!this.under.push(chunk)) this.#full = true;
    return !this.out.spent(length) && !this.#full;
  }

  set drained(callback: () => void) {
    this.#drained = callback;
    this.under.drained = () => {
      this.#full = false;
      if (!this.out.waits) callback();
    };
  }

  endWrite(): void {
    this.under.endWrite();
  }

  hold(): void {
    this.#held = true;
    this.under.hold();
  }

  release(): void {
    this.#held = false;
    if (!this.in.waits) this.under.release();
  }
}

/** The connection, made to wait for what its bytes cost. */
export const paced = (connection: Connection, charges: Charges): Connection =>
  isEvented(connection)
    ? new PacedEventedConnection(connection, charges)
    : new PacedConnection(connection, charges);
