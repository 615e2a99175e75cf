/**
 * Thousands of deadlines on one interval. Every connection has several (handshake, idle, half-close),
 * nearly all are cancelled before they fire, and a second's quarter of lateness harms none of them: so
 * they stand in a ring, where starting and cancelling one is a matter of its neighbours.
 */
const tickMs = 250;

export interface Deadline {
  cancel(): void;
}

class Entry implements Deadline {
  readonly at: number;
  readonly fire: () => void;
  before: Entry = this;
  after: Entry = this;

  constructor(at: number, fire: () => void) {
    this.at = at;
    this.fire = fire;
  }

  cancel(): void {
    this.before.after = this.after;
    this.after.before = this.before;
    // Alone: cancelling it again changes nothing.
    this.before = this;
    this.after = this;
  }
}

/** Stands before the first and after the last, and is none itself. */
const ring = new Entry(Number.POSITIVE_INFINITY, () => {});
let interval: ReturnType<typeof setInterval> | undefined;
// Read once a tick: asking the clock is dear beside the rest of starting a deadline.
let now = 0;

function tick(): void {
  now = performance.now();
  const due: Entry[] = [];
  for (let entry = ring.after; entry !== ring; entry = entry.after) if (entry.at <= now) due.push(entry);
  for (const entry of due) {
    // Whoever fired before it may have cancelled it.
    if (entry.after === entry) continue;
    entry.cancel();
    entry.fire();
  }
  if (ring.after !== ring) return;
  clearInterval(interval);
  interval = undefined;
}

/** Calls `fire` once, not before `ms` have passed and at most about half a second later. */
export function deadline(ms: number, fire: () => void): Deadline {
  if (interval === undefined) {
    now = performance.now();
    interval = setInterval(tick, tickMs);
  }
  // `now` may be a tick old: a deadline must never be early.
  const entry = new Entry(now + tickMs + ms, fire);
  entry.before = ring.before;
  entry.after = ring;
  ring.before.after = entry;
  ring.before = entry;
  return entry;
}
