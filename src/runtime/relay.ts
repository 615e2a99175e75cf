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
    this.#deadline = deadline(this.#limit / 4, this.#look);
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

  readonly #look = (): void => {
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
  };
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

/** The relay of runtimes with evented sockets: no promise and no copy between one's event and the other's write. */
export function eventRelay(
  left: EventedConnection,
  right: EventedConnection,
  limits: RelayLimits,
  taps: Taps = {},
): Promise<RelayEnd> {
  return new Promise((resolve, reject) => {
    let end: RelayEnd = "done";
    let thrown: { readonly error: unknown } | undefined;
    let open = 2;
    const watch = new IdleWatch(left, right, limits, () => {
      end = "idle";
      left.abort("reset");
      right.abort("reset");
    });
    /** True where the bytes are needed no more. */
    const through = (
      tap: Tap,
      chunk: Uint8Array,
      from: EventedConnection,
      to: EventedConnection,
    ): boolean => {
      if (thrown !== undefined) return true;
      let parts: readonly Uint8Array[];
      try {
        parts = tap(chunk);
      } catch (error) {
        thrown = { error };
        left.abort("reset");
        right.abort("reset");
        return true;
      }
      let took = true;
      for (const part of parts) {
        if (part.length === 0) continue;
        if (!to.push(part)) from.hold();
        took &&= to.took;
      }
      return took;
    };
    const pipe = (from: EventedConnection, to: EventedConnection, side: keyof Taps): void => {
      to.drained = () => {
        if (to.took) from.reclaim?.();
        from.release();
      };
      from.pipeTo((chunk) => {
        if (chunk === null) {
          to.endWrite();
          watch.halfClosed();
          return true;
        }
        const tap = taps[side];
        if (tap !== undefined) return through(tap, chunk, from, to);
        if (!to.push(chunk)) from.hold();
        return to.took;
      });
    };
    const closed = (which: EventedConnection, other: EventedConnection, broke: RelayEnd): void => {
      if (which.broke !== undefined && end === "done") {
        end = broke;
        // What was cut short must not look complete to the other side.
        other.abort("reset");
      }
      if (--open > 0) return;
      watch.stop();
      if (thrown === undefined) resolve(end);
      else reject(thrown.error);
    };
    left.closed.then(() => closed(left, right, "left_broke"));
    right.closed.then(() => closed(right, left, "right_broke"));
    pipe(left, right, "left");
    pipe(right, left, "right");
  });
}
