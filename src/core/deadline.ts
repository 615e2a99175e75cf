import { Link, Ring } from "./ring.ts";

/**
 * Thousands of deadlines on one interval. Every connection has several (handshake, idle, half-close),
 * nearly all are cancelled before they fire, and a second's quarter of lateness harms none of them: so
 * they stand in a ring, where starting and cancelling one is a matter of its neighbours.
 */
const tickMs = 250;

export interface Deadline {
  cancel(): void;
  /** The same again, after so many milliseconds from now on; whether it was over or not. */
  restart(ms: number): void;
}

class Entry extends Link implements Deadline {
  ms: number;
  readonly fire: () => void;
  /** Its time begins with the first tick after it was started; none yet: `null`. */
  at: number | null = null;

  constructor(ms: number, fire: () => void) {
    super();
    this.ms = ms;
    this.fire = fire;
  }

  cancel(): void {
    this.unlink();
  }

  restart(ms: number): void {
    this.unlink();
    this.ms = ms;
    this.at = null;
    enter(this);
  }
}

const ring = new Ring<Entry>();
let interval: ReturnType<typeof setInterval> | undefined;

// The clock is read once a tick: asking it is dear beside the rest of starting a deadline. What the last tick read is of
// no use to those that are started after it: the process may have been held up since, and they would be early.
function tick(): void {
  const now = performance.now();
  const due: Entry[] = [];
  for (const entry of ring.values()) {
    if (entry.at === null) entry.at = now + entry.ms;
    else if (entry.at <= now) due.push(entry);
  }
  for (const entry of due) {
    // Whoever fired before it may have cancelled it, or started it again.
    if (!entry.isLinked || entry.at === null) continue;
    entry.unlink();
    entry.fire();
  }
  if (ring.first !== undefined) return;
  clearInterval(interval);
  interval = undefined;
}

/** Calls `fire` once, not before `ms` have passed and at most about half a second later. */
export function deadline(ms: number, fire: () => void): Deadline {
  const entry = new Entry(ms, fire);
  enter(entry);
  return entry;
}

function enter(entry: Entry): void {
  interval ??= setInterval(tick, tickMs);
  ring.add(entry);
}
