import { type Deadline, deadline } from "../core/deadline.ts";
import type { Connection, EventedConnection, RelayEnd, RelayLimits, Tap, Taps } from "../types.ts";

const never = (): boolean => false;

/**
 * Watches a relay for silence. What counts as activity is the connections' own byte counters, so that
 * carrying a chunk costs the watch nothing; it looks four times in each limit.
 */
export class IdleWatch {
  readonly #left: Connection;
  readonly #right: Connection;
  readonly #limits: RelayLimits;
  readonly #expired: () => void;
  #mayBeSilent: () => boolean;
  #limit: number;
  #seen = -1;
  #quiet = 0;
  readonly #deadline: Deadline;

  /** @param mayBeSilent whether silence says nothing for now */
  constructor(
    left: Connection,
    right: Connection,
    limits: RelayLimits,
    expired: () => void,
    mayBeSilent: () => boolean = never,
  ) {
    this.#left = left;
    this.#right = right;
    this.#limits = limits;
    this.#expired = expired;
    this.#mayBeSilent = mayBeSilent;
    this.#limit = limits.idleMs;
    this.#deadline = deadline(this.#limit / 4, this.#look.bind(this));
  }

  /** One side has closed its sending half: from now on the shorter limit holds. */
  halfClosed(): void {
    // Whoever hears nothing and says nothing any more may as well be gone.
    this.#mayBeSilent = never;
    if (this.#limit <= this.#limits.halfCloseMs) return;
    this.#limit = this.#limits.halfCloseMs;
    this.#quiet = 0;
    this.#deadline.restart(this.#limit / 4);
  }

  stop(): void {
    this.#deadline.cancel();
  }

  #look(): void {
    const { bytesRead: a, bytesWritten: b } = this.#left;
    const { bytesRead: c, bytesWritten: d } = this.#right;
    const activity = a + b + c + d;
    const waits = this.#left.waits === true || this.#right.waits === true;
    if (activity !== this.#seen || waits || this.#mayBeSilent()) {
      this.#seen = activity;
      this.#quiet = 0;
    } else if (++this.#quiet >= 4) {
      this.#expired();
      return;
    }
    this.#deadline.restart(this.#limit / 4);
  }
}

/** How a relay gets its chunks, and what is to be done with their memory. */
export interface Chunks<C extends Connection> {
  read(from: C, to: C): Promise<Uint8Array | null>;
  /**
   * The last chunk was handed over: `write` has resolved.
   *
   * @param whole the chunk; `null` where a tap has seen it, which may have kept some of it
   */
  written(from: C, to: C, whole: Uint8Array | null): void;
}

/** Every chunk is memory of its own. */
const copied: Chunks<Connection> = { read: (from) => from.read(), written: () => {} };

/**
 * The portable relay: two loops over `read` and `write`. Correct on any two connections; the runtimes'
 * own relays are faster, and this one is what tests hold them against.
 */
export async function portableRelay<C extends Connection>(
  left: C,
  right: C,
  limits: RelayLimits,
  taps: Taps = {},
  chunks: Chunks<C> = copied,
): Promise<RelayEnd> {
  let end: RelayEnd = "done";
  let thrown: { readonly error: unknown } | undefined;
  const finish = (how: RelayEnd): void => {
    if (end === "done") end = how;
    // What was cut short must not look complete to the other side.
    left.abort("reset");
    right.abort("reset");
  };
  const watch = new IdleWatch(left, right, limits, () => finish("idle"));
  const pump = async (
    from: C,
    to: C,
    fromBroke: RelayEnd,
    toBroke: RelayEnd,
    side: keyof Taps,
  ): Promise<void> => {
    for (;;) {
      let chunk: Uint8Array | null;
      try {
        chunk = await chunks.read(from, to);
      } catch {
        return finish(fromBroke);
      }
      let parts: readonly Uint8Array[] | undefined;
      try {
        parts = chunk === null ? undefined : taps[side]?.(chunk);
      } catch (error) {
        thrown ??= { error };
        return finish(fromBroke);
      }
      try {
        if (chunk === null) {
          await to.closeWrite();
          watch.halfClosed();
          return;
        }
        if (parts === undefined) await to.write(chunk);
        else for (const part of parts) if (part.length > 0) await to.write(part);
        chunks.written(from, to, parts === undefined ? chunk : null);
      } catch {
        return finish(toBroke);
      }
    }
  };
  await Promise.all([
    pump(left, right, "left_broke", "right_broke", "left"),
    pump(right, left, "right_broke", "left_broke", "right"),
  ]);
  watch.stop();
  left.abort();
  right.abort();
  if (thrown !== undefined) throw thrown.error;
  return end;
}

/** The peer went away without an orderly end. One for all: a stack trace would only point into the event loop. */
export const connectionClosed = new Error("connection closed");

interface Settle {
  resolve(end: RelayEnd): void;
  reject(error: unknown): void;
}

function hasDrained(from: EventedConnection, to: EventedConnection): void {
  if (to.took) from.reclaim?.();
  from.release();
}

/**
 * The relay of runtimes with evented sockets: no promise and no copy between one's event and the other's write. What is
 * kept and seldom called is bound rather than a closure: V8 of Node 26 keeps closures that never ran, and all that they
 * lead to, beyond the collection of the young.
 */
class EventRelay {
  readonly #left: EventedConnection;
  readonly #right: EventedConnection;
  readonly #watch: IdleWatch;
  readonly #settle: Settle;
  #end: RelayEnd = "done";
  #thrown: { readonly error: unknown } | undefined;
  #open = 2;

  constructor(left: EventedConnection, right: EventedConnection, limits: RelayLimits, settle: Settle) {
    this.#left = left;
    this.#right = right;
    this.#settle = settle;
    this.#watch = new IdleWatch(left, right, limits, this.#idle.bind(this));
  }

  begin(taps: Taps): void {
    const [left, right] = [this.#left, this.#right];
    this.#pipe(left, right, taps, "left");
    this.#pipe(right, left, taps, "right");
    left.whenGone = this.#gone.bind(this, left, right, "left_broke");
    right.whenGone = this.#gone.bind(this, right, left, "right_broke");
  }

  #idle(): void {
    this.#end = "idle";
    this.#cut();
  }

  #cut(): void {
    this.#left.abort("reset");
    this.#right.abort("reset");
  }

  /** @param taps looked at for each chunk: whoever taps may come and go */
  #pipe(from: EventedConnection, to: EventedConnection, taps: Taps, side: keyof Taps): void {
    to.drained = hasDrained.bind(undefined, from, to);
    from.pipeTo((chunk) => {
      if (chunk === null) {
        to.endWrite();
        this.#watch.halfClosed();
        return true;
      }
      // By their names: with a key that varies V8 looks it up anew for each chunk.
      const tap = side === "left" ? taps.left : taps.right;
      if (tap !== undefined) return this.#through(tap, chunk, from, to);
      if (!to.push(chunk)) from.hold();
      return to.took;
    });
  }

  /** True where the bytes are needed no more. */
  #through(tap: Tap, chunk: Uint8Array, from: EventedConnection, to: EventedConnection): boolean {
    if (this.#thrown !== undefined) return true;
    let parts: readonly Uint8Array[];
    try {
      parts = tap(chunk);
    } catch (error) {
      this.#thrown = { error };
      this.#cut();
      return true;
    }
    let took = true;
    for (const part of parts) {
      if (part.length === 0) continue;
      if (!to.push(part)) from.hold();
      took &&= to.took;
    }
    return took;
  }

  #gone(which: EventedConnection, other: EventedConnection, broke: RelayEnd): void {
    if (which.broke !== undefined && this.#end === "done") {
      this.#end = broke;
      // What was cut short must not look complete to the other side, which may be in the middle of handing on a chunk.
      queueMicrotask(() => other.abort("reset"));
    }
    if (--this.#open > 0) return;
    this.#watch.stop();
    if (this.#thrown === undefined) this.#settle.resolve(this.#end);
    else this.#settle.reject(this.#thrown.error);
  }
}

export const eventRelay = (
  left: EventedConnection,
  right: EventedConnection,
  limits: RelayLimits,
  taps: Taps = {},
): Promise<RelayEnd> =>
  new Promise((resolve, reject) => {
    new EventRelay(left, right, limits, { resolve, reject }).begin(taps);
  });
