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

class Entry implements Deadline {
  ms: number;
  readonly fire: () => void;
  /** Its time begins with the first tick after it was started; none yet: `null`. */
  at: number | null = null;
  before: Entry = this;
  after: Entry = this;

  constructor(ms: number, fire: () => void) {
    this.ms = ms;
    this.fire = fire;
  }

  cancel(): void {
    this.before.after = this.after;
    this.after.before = this.before;
    // Alone: cancelling it again changes nothing.
    this.before = this;
    this.after = this;
  }

  restart(ms: number): void {
    this.cancel();
    this.ms = ms;
    this.at = null;
    enter(this);
  }
}

/** Stands before the first and after the last, and is none itself. */
const ring = new Entry(Number.POSITIVE_INFINITY, () => {});
let interval: ReturnType<typeof setInterval> | undefined;

// The clock is read once a tick: asking it is dear beside the rest of starting a deadline. What the last tick read is of
// no use to those that are started after it: the process may have been held up since, and they would be early.
function tick(): void {
  const now = performance.now();
  const due: Entry[] = [];
  for (let entry = ring.after; entry !== ring; entry = entry.after) {
    if (entry.at === null) entry.at = now + entry.ms;
    else if (entry.at <= now) due.push(entry);
  }
  for (const entry of due) {
    // Whoever fired before it may have cancelled it, or started it again.
    if (entry.after === entry || entry.at === null) continue;
    entry.cancel();
    entry.fire();
  }
  if (ring.after !== ring) return;
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
  entry.before = ring.before;
  entry.after = ring;
  ring.before.after = entry;
  ring.before = entry;
}
